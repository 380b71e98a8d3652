"""What runs a study from its declaration to its answer: sessions, records, signals, retries."""
