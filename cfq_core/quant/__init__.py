"""Quantization: grids, calibration, bit plans, and the model as a runtime computes it."""
