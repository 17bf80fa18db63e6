"""A bare address is sent on to the one that names its study: the server's answer leaves no step in the history."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboard.lib import pages, startup


def addresses(base: str) -> frozenset[str]:
    """Of every page; the one that opens has none of its own."""
    others = (name for name, p in pages.found().items() if not p.default)
    return frozenset(f"{base}/{name}" for name in ("", *others))


class NamesItsStudy:
    """Middleware for the addresses of pages; everything else passes."""

    def __init__(self, app: ASGIApp, base: str = "") -> None:
        """``base``: the path under which a proxy shows the dashboard, without a slash at its end."""
        self.app, self.names = app, addresses(base)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or send to the address with the study."""
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in self.names:
            query = scope["query_string"].decode("latin-1")
            bare = not any(part.startswith("study=") for part in query.split("&"))
            if bare and (study := await run_in_threadpool(startup.newest)):
                to = f"?study={study}&{query}" if query else f"?study={study}"
                return await RedirectResponse(to)(scope, receive, send)
        await self.app(scope, receive, send)
