"""The report of a study, served on this machine while the study is searched."""
