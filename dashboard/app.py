"""The dashboard's server: `cfq dashboard`, which starts this file with safe settings whatever the folder holds.

The script stands in ``lib/``: beside the folder ``pages/`` streamlit would take that folder for its own multipage
scheme, and a server's first visitor would get a bare page from a deep link.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route

from dashboard.lib import front_door, headers, pages, startup, workspace


@asynccontextmanager
async def warm(_: Any) -> AsyncIterator[None]:
    """Before the first visitor, and beside his first second, which goes to scripts."""
    startup.at_once()
    startup.warm()
    yield


def at_the_root(request: Request) -> RedirectResponse:
    """The page that opens has no address of its own in streamlit; its name is one all the same."""
    return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./")


base = "/".join(["", *st.get_option("server.baseUrlPath").split("/")]).rstrip("/")  # behind a proxy: /tools/cfq
app = st.App(
    Path(__file__).parent / "lib" / "script.py",
    lifespan=warm,
    routes=[Route(f"{base}/{name}", at_the_root) for name, place in pages.found().items() if place.default],
    middleware=[
        Middleware(headers.Guard),
        Middleware(workspace.GivesCookie, paths=front_door.addresses(base), base=base),
        Middleware(front_door.NamesItsStudy, base=base),
    ],
)
