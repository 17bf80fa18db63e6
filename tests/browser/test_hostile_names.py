"""Sixty hostile names on every page of a real browser: a listener hears nothing, and nothing is asked for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from dashboard.lib import pages
from tests.browser.conftest import PATIENCE, Server
from tests.browser.test_walk import settled
from tests.dashboard import hostile

pytestmark = pytest.mark.gate
KEYS = ("study", "dataset", "method", "budget", "seed", "approval", "person", "audit", "robust", "measure", "fate")


class Listener:
    """Counts whoever calls."""

    def __init__(self) -> None:
        self.socket, self.heard = socket.create_server(("127.0.0.1", 0)), 0
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/zq"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.heard += 1
            connection.close()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.socket.close()


@pytest.mark.parametrize("chunk", range(3))
def test_a_name_calls_nobody(chunk: int, browser: Any, listener: Listener, tmp_path: Path) -> None:
    names = hostile.names(listener.url)[20 * chunk : 20 * chunk + 20]
    server = Server(hostile.study_of(tmp_path / "own", names))
    context = browser.new_context(viewport={"width": 1440, "height": 1400})
    context.set_default_timeout(PATIENCE)
    asked: list[str] = []
    context.on("request", lambda r: None if r.url.startswith((server.url, "data:", "blob:")) else asked.append(r.url))
    try:
        page = context.new_page()
        reflected = urlencode({k: names[i] for i, k in enumerate(KEYS)})
        for name, about in pages.found().items():
            for query in ("", f"?{reflected}") if about.default or chunk == 0 else ("",):
                page.goto(f"{server.url}/{'' if about.default else name}{query}")
                page.locator("h1").first.wait_for()
                settled(page)
                assert page.get_by_test_id("stException").count() == 0, (name, query)
                links = page.eval_on_selector_all("a[href], img[src]", "all => all.map(e => e.href || e.src)")
                assert not [x for x in links if "zq" in x.split("?")[0]], (name, links)
    finally:
        context.close()
        server.stop()
    assert not asked and listener.heard == 0
