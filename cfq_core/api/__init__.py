"""What `import cfq_core as cfq` offers to a notebook: studies, audits, cards and drafts as objects with DataFrames.

Nothing is computed here. What stands below (`pipeline`, `study`, `export`, `report`) is asked, and its answers shown.
"""
