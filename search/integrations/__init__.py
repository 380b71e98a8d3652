"""Other packages' code in a search: Lightning's and Hugging Face's trainers, Optuna's and Ray Tune's functions.

A module each, which imports its package: ``from search.integrations.lightning import LanewiseCallback``.
"""
