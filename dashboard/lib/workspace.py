"""Whose results a session sees: with ``cfq dashboard --workspaces`` a folder of the user's own, else the one store.

    STORE/workspaces/ID/  a store of its own: studies, tables, jobs, audits, views

ID is a hash of what the operator's proxy says of the user, else of a random cookie of the browser; no text of a user
is part of a path, and no address holds the ID. Who cannot be told apart is refused, never given a shared folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime.scriptrunner import get_script_run_ctx

from cfq_core.base import logbook
from cfq_core.base.errors import BadInput

ON, USER_HEADER = "CFQ_WORKSPACES", "CFQ_USER_HEADER"  # set by `cfq dashboard`
FOLDER = "workspaces"
COOKIE, COOKIE_AGE = "cfq_workspace", 400 * 86_400  # seconds; browsers keep none longer
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 random bits
LONGEST_USER = 256
SEEN_BY_ALL = (
    "Everybody who reaches this server sees all tables, studies and jobs of this store, and can start and cancel jobs."
)


@dataclass(frozen=True)
class Owner:
    """Who a session belongs to."""

    name: str  # as the log has it
    id: str  # of the workspace
    how: str  # a sentence for the page


def is_on() -> bool:
    """Whether the operator said so."""
    return os.environ.get(ON) == "1"


def root() -> Path:
    """The store of the server."""
    return Path(os.environ.get("CFQ_STORE", ".cfq"))


def folder() -> Path:
    """The store of this session; raises `BadInput` where it is not known whose."""
    return place(owner().id) if is_on() else root()


def place(id: str) -> Path:
    """The store of a workspace."""
    return root() / FOLDER / id


def is_known() -> bool:
    """False in a server's own threads: they belong to nobody."""
    return not is_on() or get_script_run_ctx(suppress_warning=True) is not None


def owner() -> Owner:
    """Whose session it is; raises `BadInput` in one line."""
    if not is_known():
        raise BadInput("no session: a workspace belongs to one")
    if header := os.environ.get(USER_HEADER):
        user = _user(header, sent(header))
        return Owner(user, _id("user", user), f"This is the workspace of {user}. {_OTHERS}")
    if (token := cookie()) and TOKEN.fullmatch(token):
        return _of_browser(token, "This workspace belongs to this browser, which knows it by a cookie")
    token = st.session_state.setdefault("_workspace", secrets.token_urlsafe(32))
    return _of_browser(token, "This browser keeps no cookie: this workspace cannot be opened again after a reload")


_OTHERS = "Others see nothing of it but the studies that you share."


def _of_browser(token: str, how: str) -> Owner:
    id = _id("browser", token)
    return Owner(f"browser {id[:8]}", id, f"{how}. {_OTHERS}")


def sentence() -> str:
    """Who sees what is stored here."""
    return owner().how if is_on() else SEEN_BY_ALL


def record(action: str, ids: dict[str, str] | None = None, files: dict[str, str] | None = None) -> None:
    """Write what this session does to the server's log; raises `SystemRefused`."""
    recorder()(action, ids or {}, files or {})


def recorder() -> Callable[[str, dict[str, str], dict[str, str]], None]:
    """The same for later, when the session cannot be asked any more."""
    store, user = root(), logbook.NOT_NAMED
    mine: dict[str, str] = {}
    if is_on():
        user, mine = owner().name, {"workspace": owner().id}
    return lambda action, ids, files: logbook.append(store, action, user, mine | ids, files)


def _user(header: str, values: Sequence[str]) -> str:
    if len(values) != 1 or not values[0].strip():
        many = "more than once" if len(values) > 1 else "no"
        raise BadInput(f"the proxy says {many} who you are (header {header}); the operator sets it, exactly once")
    user = values[0].strip()
    if len(user) > LONGEST_USER or not user.isprintable():
        raise BadInput(f"header {header}: a name of at most {LONGEST_USER} printable characters is needed")
    return user


def _id(kind: str, text: str) -> str:
    """A browser's token is never a user's name, whatever it holds."""
    return hashlib.sha256(f"{kind}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


# ---------------------------------------------------------------------- what the browser and the proxy sent
def sent(header: str) -> list[str]:
    """Every value of a header of the socket's request."""
    return list(st.context.headers.get_all(header))


def cookie() -> str | None:
    """The browser's cookie."""
    return st.context.cookies.get(COOKIE)


class GivesCookie:
    """Middleware: a page that is opened without a cookie gives the browser one, where workspaces are known by it."""

    def __init__(self, app: ASGIApp, paths: frozenset[str], base: str = "") -> None:
        """``paths``: addresses of pages; ``base``: where the dashboard stands behind a proxy."""
        self.app, self.paths, self.base = app, paths, base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        page = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in self.paths
        if not page or not is_on() or os.environ.get(USER_HEADER) or self._has(Request(scope)):
            return await self.app(scope, receive, send)

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.append("set-cookie", self._cookie(Request(scope)))
                headers["cache-control"] = "no-store"
            await send(message)

        await self.app(scope, receive, with_cookie)

    def _has(self, request: Request) -> bool:
        return TOKEN.fullmatch(request.cookies.get(COOKIE, "")) is not None

    def _cookie(self, request: Request) -> str:
        secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
        parts = [f"{COOKIE}={secrets.token_urlsafe(32)}", f"Path={self.base or '/'}", f"Max-Age={COOKIE_AGE}"]
        return "; ".join([*parts, "HttpOnly", "SameSite=Lax", *(["Secure"] if secure else [])])
