"""Proofs that take seconds: asked for in the background, one after another, while the page shows how far they are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from functools import lru_cache

import streamlit as st

from cfq_core.report import person as people
from cfq_core.report.frames import Stored

PATIENCE = 0.15  # seconds that a page waits for a proof before it shows the rest
EVERY = 0.7  # seconds between two looks
MOST = 4096  # proofs kept


@dataclass
class Going:
    """A proof that was asked for: what is known of it, and in the end all of it."""

    so_far: people.SoFar | None = None  # None: it has not begun
    whole: Future[people.Cheapest] = field(default_factory=Future)

    def hear(self, known: people.SoFar) -> None:
        """Take what is known now."""
        self.so_far = known

    @property
    def found(self) -> people.Cheapest | None:
        """What came of it; None while that is being looked for."""
        try:
            return self.whole.result(timeout=PATIENCE)
        except NotYet:
            return None


@st.cache_resource(show_spinner=False)
def _worker() -> ThreadPoolExecutor:
    """One for the server: proofs share a core, pages do not wait for it."""
    return ThreadPoolExecutor(1, thread_name_prefix="proof")


@lru_cache(maxsize=MOST)
def proof(study: Stored, teacher: str, owner: str, person: int, seconds: float) -> Going:
    """The proof of the cheapest action on a model, begun when it is asked for the first time."""
    going = Going()
    going.whole = _worker().submit(people.proof, study, teacher, owner, person, seconds, going.hear)
    return going


def followed(ready: Callable[[], bool], draw: Callable[[], None]) -> None:
    """Draw a part of a page, and once more when it is ready; meanwhile the browser asks every moment."""
    if ready():
        return draw()
    st.fragment(_waiting, run_every=EVERY)(ready, draw)


def _waiting(ready: Callable[[], bool], draw: Callable[[], None]) -> None:
    if ready():
        st.rerun()  # a whole run: stops the timer
    draw()
