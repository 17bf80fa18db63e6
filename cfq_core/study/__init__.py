"""Studies: what to run, running it resumably, keeping it, and summing it up."""
