"""Data sets: one file a table, the file name is the name; `card` reads a user's own."""
