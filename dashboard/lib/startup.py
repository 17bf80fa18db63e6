"""What a server process does once: the imports of its first page, then out of the collector's sight."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

FAVICON = Path(__file__).parents[1] / "static" / "favicon.svg"  # a local file: a material icon would be fetched


_ready = threading.Event()


def newest() -> str | None:
    """The study that a bare address opens; None before it is known, and where there is none."""
    if not _ready.is_set():
        return None
    from dashboard.lib import data, workspace

    if workspace.is_on():  # each user has another one
        return None

    return next((s.id for s in data.studies()), None)


def warm() -> None:
    """Begin with what the first page needs while the visitor's browser is still loading the front end."""
    threading.Thread(target=_boot, name="warm", daemon=True).start()


def _boot() -> None:
    """Import and read, then freeze: a rerun's garbage collection walks none of it again (5 to 8 times less CPU)."""
    import streamlit.delta_generator as st

    from dashboard.lib import data

    st._use_warning_has_been_displayed = True  # whether this is a REPL costs 0.3 s of the first visitor's time
    data.warm()
    _ready.set()
    gc.collect()
    gc.freeze()
