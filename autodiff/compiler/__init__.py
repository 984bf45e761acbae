"""Recorded NumPy programs as machine code; needs llvmlite only where something is compiled."""

__all__: list[str] = []
