"""What a server process does once: the heavy imports that every page needs, then out of the collector's sight."""

from __future__ import annotations

import gc
from functools import cache
from pathlib import Path

FAVICON = Path(__file__).parents[1] / "static" / "favicon.svg"  # a local file: a material icon would be fetched


@cache
def boot() -> None:
    """Import, then freeze: a rerun's garbage collection no longer walks pandas and altair (5 to 8 times less CPU)."""
    import altair
    import pandas  # noqa: F401

    altair.data_transformers.disable_max_rows()
    gc.collect()
    gc.freeze()
