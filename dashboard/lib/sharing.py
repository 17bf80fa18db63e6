"""Studies that a user shows to whoever has the link: ``?shared=TOKEN`` opens one, to be read, until its owner stops it.

STORE/shared/ID.json  workspace, study, token      ID: a hash of the token, so that no text of a link is a path
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from cfq_core.base import logbook
from cfq_core.base.errors import CfqError
from cfq_core.base.whole import system_refused, write_whole
from dashboard.lib import workspace

FOLDER = "shared"
KEY = "_shared"  # of the session: the token of the link that it follows
ID = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Share:
    """A study and its owner's consent."""

    token: str
    workspace: str
    study: str

    @property
    def folder(self) -> Path:
        """The store that holds it."""
        return workspace.place(self.workspace)

    @property
    def file(self) -> Path:
        """Where the consent is kept."""
        return _file(self.token)


def follow(token: str | None) -> None:
    """Take the token of a link for this session."""
    st.session_state[KEY] = token


def token() -> str | None:
    """The token that this session follows."""
    return st.session_state.get(KEY)


def opened() -> Share | None:
    """What this session's link opens at this moment; looked up each time, so that an end of sharing counts at once."""
    given = token() if workspace.is_on() and workspace.is_known() else None
    if given is None or not workspace.TOKEN.fullmatch(given):
        return None
    found = _read(_file(given))
    return found if found and secrets.compare_digest(found.token, given) else None


def panel(study: str) -> None:
    """Whether a study of one's own is shared, its link, and the button that changes it."""
    mine = _mine(study)
    if mine is None:
        st.caption(
            "Whoever has the link can then read this study, its report and the people in it, and change nothing."
        )
        st.button("Share this study", key="share", icon=":material/group:", on_click=_start, args=(study,))
        return
    base = (st.context.url or "").split("?")[0]
    st.code(f"{base}?shared={mine.token}", language=None, wrap_lines=True)
    st.caption("Whoever has this link can read this study. The link tells nothing else of your workspace.")
    st.button("Stop sharing", key="unshare", icon=":material/group_off:", on_click=_stop, args=(mine,))


def _start(study: str) -> None:
    share = Share(secrets.token_urlsafe(32), workspace.owner().id, study)
    content = {"workspace": share.workspace, "study": study, "token": share.token}
    try:
        workspace.record(logbook.SHARE, {"study": study, "share": share.file.stem})
        share.file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(share.file, json.dumps(content).encode())
    except CfqError as problem:
        _told(problem)
    except OSError as problem:
        _told(system_refused(problem))


def _stop(share: Share) -> None:
    try:
        share.file.unlink(missing_ok=True)  # first: it ends, whether or not the log has room
        workspace.record(logbook.UNSHARE, {"study": share.study, "share": share.file.stem})
    except CfqError as problem:
        _told(problem)
    except OSError as problem:
        _told(system_refused(problem))


def _told(problem: CfqError) -> None:
    st.toast(problem.line(), icon=":material/error:")


def _mine(study: str) -> Share | None:
    me = workspace.owner().id
    return next((s for s in _all() if s.workspace == me and s.study == study), None)


def _all() -> Iterator[Share]:
    for file in sorted((workspace.root() / FOLDER).glob("[!.]*.json")):
        if (found := _read(file)) is not None and found.file == file:
            yield found


def _file(token: str) -> Path:
    return workspace.root() / FOLDER / f"{hashlib.sha256(token.encode()).hexdigest()[:32]}.json"


def _read(file: Path) -> Share | None:
    """A consent that is there and whole."""
    try:
        found = Share(**json.loads(file.read_bytes()))
        good = workspace.TOKEN.fullmatch(found.token) and ID.fullmatch(found.workspace) and ID.fullmatch(found.study)
    except (OSError, ValueError, TypeError):
        return None
    return found if good else None
