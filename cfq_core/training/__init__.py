"""Training: one loop for a whole stack of runs; the losses are on the page."""
