"""Questions asked of a promise and its students while the table is at hand: noise, shift, variants.

A plan names its probes; what they read is stored beside teacher and runs, so no picture needs the raw table.
"""
