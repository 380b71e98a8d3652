"""A model that leaves its study: written as a folder of plain files, read back, given a file to answer."""
