"""MLflow, fed from the ledger by a process of its own."""
