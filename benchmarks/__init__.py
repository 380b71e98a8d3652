"""Lanewise beside what a user would otherwise pick. ``python -m benchmarks`` lists what there is."""
