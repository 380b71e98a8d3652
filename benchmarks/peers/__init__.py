"""The scripts a user would write without Lanewise, kept as good as such scripts get."""
