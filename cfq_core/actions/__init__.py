"""What a person can do, and what it costs."""
