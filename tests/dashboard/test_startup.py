"""What a server does once: its answers leave at once, and what is imported is out of the collector's sight."""

from __future__ import annotations

import gc
import socket
import sys

import pytest

from dashboard.lib import startup


def test_small_packets_of_every_connection_leave_at_once() -> None:
    with socket.socket() as listening, socket.socket() as caller:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        startup.at_once()
        caller.connect(listening.getsockname())
        answering, _ = listening.accept()
        with answering:
            assert answering.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_a_page_imports_later_is_frozen_once_and_not_at_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    froze: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: froze.append(1))
    monkeypatch.setattr(startup, "_frozen", len(sys.modules) - startup.MANY_MODULES + 1)
    startup.freeze()
    assert not froze
    monkeypatch.setattr(startup, "_frozen", len(sys.modules) - startup.MANY_MODULES)
    startup.freeze()
    startup.freeze()
    assert len(froze) == 1
