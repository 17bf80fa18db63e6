"""What a server process does once: answers leave at once; the imports of its first page, then out of the collector's
sight."""

from __future__ import annotations

import gc
import socket
import sys
import threading
from pathlib import Path

FAVICON = Path(__file__).parents[1] / "static" / "favicon.svg"  # a local file: a material icon would be fetched
INTERNET = (socket.AF_INET, socket.AF_INET6)

MANY_MODULES = 50

_ready = threading.Event()
_frozen = 0  # modules that were imported at the last freeze


def newest() -> str | None:
    """The study that a bare address opens; None before it is known, and where there is none."""
    if not _ready.is_set():
        return None
    from dashboard.lib import data, workspace

    if workspace.is_on():  # each user has another one
        return None

    return next((s.id for s in data.studies()), None)


def at_once() -> None:
    """Small packets leave at once: else each of the front end's 120 files waits 40 ms for the browser to acknowledge.

    streamlit binds its socket without naming TCP, and asyncio then leaves Nagle's algorithm on. What the listening
    socket is set to, its connections take over; it is bound before this package is imported, and nothing names it.
    """
    for s in [s for s in gc.get_objects() if type(s) is socket.socket]:  # no isinstance: it asks proxies, which import
        if s.family in INTERNET and s.type == socket.SOCK_STREAM and s.fileno() >= 0:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


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
    freeze()


def freeze() -> None:
    """Once more where pages have imported much since: streamlit collects after every run, and would walk all of it."""
    global _frozen
    if len(sys.modules) < _frozen + MANY_MODULES:
        return
    _frozen = len(sys.modules)
    gc.collect()
    gc.freeze()
