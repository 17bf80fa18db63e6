"""The one door to results: which stores there are, their studies, their pictures; cached by ids and plain values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from cfq_core.base.errors import CfqError
from cfq_core.base.shipped import gallery
from cfq_core.report import bench as plan_bench
from cfq_core.report import first_look as looks
from cfq_core.report import picture, robust
from cfq_core.report import tour as guided
from cfq_core.report.frames import Stored
from cfq_core.study.store import FILE, Store
from dashboard.lib import chart, sharing, workspace

Plain = str | int | float | bool | None
MOST_STUDIES, MOST_PICTURES = 32, 256  # kept in memory by a server


@dataclass(frozen=True)
class Listed:
    """A study that can be opened."""

    id: str
    name: str
    created: str
    runs: int
    finished: int
    folder: str
    gallery: bool
    shared: bool = False  # by another user, to be read

    @property
    def label(self) -> str:
        """What the list shows."""
        short = "" if self.finished == self.runs else f" ({self.finished} of {self.runs} runs)"
        return f"{self.name}{short}{' · Gallery' if self.gallery else ' · Shared with you' if self.shared else ''}"


def own_store() -> Path:
    """Where studies of this user go."""
    return workspace.folder()


def studies() -> list[Listed]:
    """Studies with at least one finished run: own ones, newest first, then the gallery's."""
    own = [s for s in _own(str(own_store())) if s.finished] if workspace.is_known() else []
    shipped = [s for s in _shipped(str(gallery())) if s.finished]
    own += [s for s in _shared() if s.id not in {o.id for o in own}]
    return own + [s for s in shipped if s.id not in {o.id for o in own}]


def _shared() -> list[Listed]:
    """The study of another user's that this session's link opens."""
    found = sharing.opened()
    if found is None:
        return []
    return [replace(s, shared=True) for s in _own(str(found.folder)) if s.id == found.study and s.finished]


def answering(question: robust.Topic) -> dict[str, Listed]:
    """Stored studies that answer a question of robustness, by id, the newest first."""
    return {s.id: s for s in studies() if question.shows(study(s))}


def problem() -> str | None:
    """Why the user's own store cannot be read; None where it can, or where there is none yet."""
    try:
        _own(str(own_store()))
    except CfqError as found:
        return found.line()
    return None


def study(listed: Listed) -> Stored:
    """The frames of a study, shared by all sessions; it never changes for a given number of finished runs."""
    return _study(listed.folder, listed.id, listed.finished, listed.gallery)


def drawn(name: str, of: Stored, **options: Plain) -> picture.Drawn:
    """A picture of a study, its chart as `chart.spec` gives it; drawn once for each set of options."""
    packed = repr(sorted(options.items()))
    return _drawn(name, of.folder, of.id, of.finished, of.read_only, packed, _options=options)


def first_look(of: Stored, method: str, place: looks.Place) -> dict[str, Any]:
    """What the first look at a study shows, for every budget at once."""
    return _first_look(of.folder, of.id, of.finished, of.read_only, method, place.dataset, place.matched, place.seed)


def bench(of: Stored, dataset: str) -> dict[str, Any] | None:
    """Every allocation of bits that a study judged."""
    return _bench(of.folder, of.id, of.finished, of.read_only, dataset)


def tour(of: Stored, dataset: str, method: str) -> guided.Tour | None:
    """One person of a study in six steps."""
    return _tour(of.folder, of.id, of.finished, of.read_only, dataset, method)


def warm() -> None:
    """What the first visitor's first page stands on: the numbers of the newest study, then what draws them."""
    for listed in studies()[:1]:
        found = study(listed)
        _ = found.runs, found.lines
    chart.prepare()
    for name in ("verdicts", "curves", "faithful"):
        picture.load(name)


def _own(folder: str) -> list[Listed]:
    """Read anew each time: another process may be writing."""
    return _list(Store.for_reading(folder), folder, False) if (Path(folder) / FILE).is_file() else []


@st.cache_data(show_spinner=False)
def _shipped(folder: str) -> list[Listed]:
    return _list(Store(folder, read_only=True), folder, True) if (Path(folder) / FILE).is_file() else []


def _list(store: Store, folder: str, shipped: bool) -> list[Listed]:
    try:
        columns = ("id", "name", "created", "runs", "finished")
        return [Listed(**{c: s[c] for c in columns}, folder=folder, gallery=shipped) for s in store.studies()]
    finally:
        store.close()


@st.cache_resource(max_entries=MOST_STUDIES, show_spinner=False)
def _study(folder: str, id: str, finished: int, read_only: bool) -> Stored:
    return Stored(folder, id, finished, read_only)


@st.cache_resource(max_entries=MOST_STUDIES, show_spinner=False)
def _tour(folder: str, id: str, finished: int, read_only: bool, dataset: str, method: str) -> guided.Tour | None:
    return guided.of(_study(folder, id, finished, read_only), dataset, method)


@st.cache_resource(max_entries=MOST_STUDIES, show_spinner=False)
def _bench(folder: str, id: str, finished: int, read_only: bool, dataset: str) -> dict[str, Any] | None:
    return plan_bench.of(_study(folder, id, finished, read_only), dataset)


@st.cache_resource(max_entries=MOST_PICTURES, show_spinner=False)
def _first_look(
    folder: str, id: str, finished: int, read_only: bool, method: str, dataset: str, matched: bool, seed: int
) -> dict[str, Any]:
    found = _study(folder, id, finished, read_only)
    return looks.of(found, dataset, method, looks.Place.of(found, dataset, matched, seed))


@st.cache_resource(max_entries=MOST_PICTURES, show_spinner=False)
def _drawn(
    name: str, folder: str, id: str, finished: int, read_only: bool, packed: str, _options: dict[str, Plain]
) -> picture.Drawn:
    found = picture.draw(name, _study(folder, id, finished, read_only), **_options)
    return found if found.chart is None else replace(found, chart=chart.spec(found.chart))
