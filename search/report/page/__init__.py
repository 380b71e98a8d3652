"""The report of a study: a document of sections, and what it is written as."""
