"""Recourse: the least-cost action that a model approves, for all people and models at once."""
