"""Measure, fix and prove algorithmic recourse under quantization."""

__version__ = "0.1.0"
