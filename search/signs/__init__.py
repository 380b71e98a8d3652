"""Signs of life: a process says what it is doing wherever it is silent, and where it was when it is stopped."""
