"""What every answer of the server says to the browser: what a page may load, and that nobody frames it.

The pages escape what users wrote (`cfq_core.report.escape`); these headers are the second fence. A request by a host
name that is not allowed gets no page at all: streamlit itself refuses only the socket.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEALTH = "/_stcore/health"  # asked by whoever watches the server, under any name


def policy() -> str:
    """The content security policy: nothing from another host, no script but the front end's own.

    ``blob:`` is how streamlit loads a component's module; styles are inline in its front end.
    """
    front = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", front, re.DOTALL)
    hashes = "".join(f" 'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    parts = {
        "default-src": "'self'",
        "script-src": f"'self' blob:{hashes}",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
        "frame-src": "'self' blob: data:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def allowed(host: str | None) -> bool:
    """Whether a request's host is one of ``server.allowedHosts``, read as streamlit reads them for the socket."""
    hosts = [h.strip().lower() for h in streamlit.get_option("server.allowedHosts")]
    if not hosts or "*" in hosts:
        return True
    name = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:@/?#\s]+)(:\d{1,5})?", (host or "").lower())
    asked = name[1].strip("[]").rstrip(".") if name else None
    return asked is not None and any(asked == h or (h[:2] == "*." and asked.endswith(h[1:])) for h in hosts)


class Guard:
    """Middleware: refuses foreign host names, and adds the headers to every other answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.headers = {
            "content-security-policy": policy(),
            "x-frame-options": "DENY",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request: refused, or answered with the headers."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        if not scope["path"].endswith(HEALTH) and not allowed(Headers(scope=scope).get("host")):
            refusal = PlainTextResponse("This host name is not allowed; the operator adds it with --host.\n", 400)
            return await refusal(scope, receive, with_headers)
        await self.app(scope, receive, with_headers)
