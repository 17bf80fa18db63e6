"""A stored study as tables, pictures and words. No dashboard here: the HTML report and the pages share this layer."""
