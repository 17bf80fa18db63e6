"""Proofs that take seconds: asked for in the background, one after another, while the page shows what is stored."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from functools import lru_cache

import streamlit as st

from cfq_core.report import person as people
from cfq_core.report.frames import Stored

PATIENCE = 0.15  # seconds that a page waits for a proof before it shows the rest
EVERY = 0.7  # seconds between two looks
MOST = 4096  # proofs kept


@st.cache_resource(show_spinner=False)
def _worker() -> ThreadPoolExecutor:
    """One for the server: proofs share a core, pages do not wait for it."""
    return ThreadPoolExecutor(1, thread_name_prefix="proof")


@lru_cache(maxsize=MOST)
def _asked(study: Stored, teacher: str, owner: str, person: int) -> Future[people.Cheapest]:
    return _worker().submit(people.cheapest, study, teacher, owner, person)


def proof(study: Stored, teacher: str, owner: str, person: int) -> people.Cheapest | None:
    """The cheapest action on a model with its proof; None while that is being looked for."""
    try:
        return _asked(study, teacher, owner, person).result(timeout=PATIENCE)
    except NotYet:
        return None


def followed(ready: Callable[[], bool], draw: Callable[[], None]) -> None:
    """Draw a part of a page, and once more when it is ready; meanwhile the browser asks every moment."""
    if ready():
        return draw()
    st.fragment(_waiting, run_every=EVERY)(ready, draw)


def _waiting(ready: Callable[[], bool], draw: Callable[[], None]) -> None:
    if ready():
        st.rerun()  # a whole run: stops the timer
    draw()
