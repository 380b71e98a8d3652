"""The figures of a report, as plotly objects: one module a figure, and a table that says the same."""
