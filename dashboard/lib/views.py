"""Named views with a note, kept as one file in the user's store; notes go into the report of their study."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import streamlit as st

from cfq_core.report.files import write_whole
from dashboard.lib import component, data, pages, state

FILE = "views.json"
MOST, LONGEST_NAME, LONGEST_NOTE = 200, 80, 1000


@dataclass(frozen=True)
class View:
    """A named address."""

    name: str
    note: str
    address: str  # relative: page and query
    study: str
    saved: str


def saved(study: str = "") -> list[View]:
    """All of them, or those of a study; a file that cannot be read holds none."""
    try:
        found = [View(**v) for v in json.loads((data.own_store() / FILE).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []
    return [v for v in found if study in ("", v.study) and v.address.partition("?")[0] in ("./", *pages.found())]


def notes(study: str) -> tuple[str, ...]:
    """What a study's report tells of them."""
    return tuple(f"{v.name} ({v.saved}): {v.note}" for v in saved(study) if v.note)


def panel(sel: state.Selection) -> None:
    """Name this view, and open the others."""
    name = st.text_input("Name this view", max_chars=LONGEST_NAME, key="view-name")
    note = st.text_area("Note (goes into the report)", max_chars=LONGEST_NOTE, height=80, key="view-note")
    address = _relative(state.permalink(sel))
    st.button("Save view", disabled=not name.strip(), on_click=_keep, args=(name, note, address, sel.study.id))
    if found := saved():
        component.mount("links", {"links": [{"text": v.name, "url": v.address} for v in found]}, key="views")


def _relative(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path.rsplit('/', 1)[-1] or './'}?{parts.query}"


def _keep(name: str, note: str, address: str, study: str) -> None:
    mine = View(name.strip(), note.strip(), address, study, time.strftime("%Y-%m-%d"))
    others = [v for v in saved() if v.name != mine.name]
    data.own_store().mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(v) for v in [mine, *others][:MOST]], ensure_ascii=False, indent=1)
    write_whole(data.own_store() / FILE, content.encode())
    st.session_state["view-name"] = st.session_state["view-note"] = ""
