"""What each answer of the server says: nothing from elsewhere, no frame, and no page under a foreign name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import streamlit
from starlette.responses import PlainTextResponse

from dashboard.lib import headers


def asked(path: str, host: str) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer."""
    sent: list[Any] = []
    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"host", host.encode())]}

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(headers.Guard(PlainTextResponse("page"))(scope, receive, send))
    return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}


@pytest.mark.parametrize(
    ("host", "opens"),
    [
        ("localhost", True), ("LOCALHOST:8501", True), ("127.0.0.1:8501", True), ("[::1]:8501", True),
        ("cfq.example.org", True), ("cfq.example.org.", True), ("example.org", False), ("evil.example", False),
        ("localhost.evil.example", False), ("evil@localhost", False), ("localhost:x", False), ("", False),
        ("localhost/..", False), ("127.0.0.1.nip.io", False), ("xexample.org", False),
    ],
)  # fmt: skip
def test_a_page_is_opened_by_allowed_names_only(host: str, opens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = {"server.allowedHosts": ["127.0.0.1", "localhost", "::1", "*.example.org"]}
    monkeypatch.setattr(streamlit, "get_option", hosts.__getitem__)
    status, found = asked("/", host)
    assert status == (200 if opens else 400)
    assert found["x-frame-options"] == "DENY" and "frame-ancestors 'none'" in found["content-security-policy"]
    assert asked("/_stcore/health", host)[0] == 200


def test_nothing_is_loaded_from_elsewhere_and_no_text_is_run() -> None:
    policy = dict(part.split(" ", 1) for part in headers.policy().split("; "))
    assert policy["default-src"] == "'self'" and policy["object-src"] == "'none'"
    assert "unsafe" not in policy["script-src"] and "sha256-" in policy["script-src"]
    assert not any(word in rule for rule in policy.values() for word in ("http", "*", "unsafe-eval"))
