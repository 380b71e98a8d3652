"""Lanewise: distributed hyperparameter search for PyTorch. Declares, asks, decides, records, explains."""
