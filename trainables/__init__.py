"""What runs inside a trial. Knows tensors; nothing of search."""
