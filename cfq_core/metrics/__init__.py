"""Metrics: evidence in, one value a person out."""
