"""One file a picture, pure: rows of a stored study in, chart and words out. Each ends in ``PICTURE = Picture(...)``."""
