"""The parts of ``benchmarks/gpu.py``, which need torch, NumPy and the project alone."""
