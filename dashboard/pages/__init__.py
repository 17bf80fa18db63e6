"""One file a page. How to add one: see `dashboard.lib`."""
