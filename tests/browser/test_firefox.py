"""Every page in Debian's Firefox, through WebDriver BiDi (https://w3c.github.io/webdriver-bidi): it needs no driver."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from dashboard.lib import pages
from tests.browser.conftest import PATIENCE, Server

pytestmark = pytest.mark.gate
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
MOST = 2**26  # bytes of a message
SETTLED = """!!document.querySelector('h1') && !!document.querySelector(
    '[data-testid="stApp"][data-test-script-state="notRunning"]') && !document.querySelector(
    '[data-testid="stAppSkeleton"],[data-testid="stSkeleton"],[data-stale="true"]')"""
#: Streamlit's front end tries to compile WebAssembly once a page, which our policy refuses, and does without.
EXPECTED = "blocked WebAssembly"
#: The first of a selector, inside the shadow of a component too.
FIRST = """(function first(s, root) { return root.querySelector(s) || [...root.querySelectorAll('*')].reduce(
    (found, e) => found || (e.shadowRoot && first(s, e.shadowRoot)), null) })"""
HOME = "\ue011"  # a key, as WebDriver spells it


class Tab:
    """One tab of a Firefox: commands go out, answers and what went wrong come back."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection, self.numbers = connection, itertools.count(1)
        self.wrong: list[str] = []
        self.outside: list[str] = []

    async def ask(self, method: str, **params: Any) -> Any:
        number = next(self.numbers)
        await self.connection.write_message(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = await asyncio.wait_for(self.connection.read_message(), PATIENCE / 1000)
            assert said is not None, "Firefox has gone"
            told = json.loads(said)
            if told.get("id") == number:
                assert told["type"] == "success", told
                return told["result"]
            self._heard(told)

    def _heard(self, told: dict[str, Any]) -> None:
        of = told.get("params", {})
        if told.get("method") == "log.entryAdded" and of["level"] == "error" and EXPECTED not in of["text"]:
            self.wrong.append(of["text"])
        if told.get("method") == "network.beforeRequestSent":
            self.outside.append(of["request"]["url"])

    async def open(self) -> None:
        await self.ask("session.new", capabilities={})
        self.context = (await self.ask("browsingContext.getTree"))["contexts"][0]["context"]
        await self.ask("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])

    async def go(self, url: str) -> None:
        await self.ask("browsingContext.navigate", context=self.context, url=url, wait="complete")
        await self.until(SETTLED)

    async def find(self, script: str) -> Any:
        target = {"context": self.context}
        found = await self.ask("script.evaluate", expression=script, target=target, awaitPromise=True)
        assert found["type"] == "success", found
        return found["result"].get("value")

    async def until(self, script: str) -> None:
        end = time.monotonic() + PATIENCE / 1000
        while not await self.find(script):
            assert time.monotonic() < end, script
            await asyncio.sleep(0.2)

    async def press(self, key: str) -> None:
        strokes = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        keys = {"type": "key", "id": "keys", "actions": strokes}
        await self.ask("input.performActions", context=self.context, actions=[keys])


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if FIREFOX is None:
        pytest.skip("no Firefox here: apt-get install firefox-esr")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        free = int(s.getsockname()[1])
    folder = tmp_path_factory.mktemp("firefox")
    command = [FIREFOX, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", str(free)]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([*command, "about:blank"], stdout=log, stderr=log)
        yield free
        running.terminate()
        running.wait(timeout=30)


async def _walk(port: int, url: str) -> None:
    end = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            connection = await websocket_connect(f"ws://127.0.0.1:{port}/session", max_message_size=MOST)
            break
        except OSError:
            assert time.monotonic() < end, "Firefox did not come up"
            await asyncio.sleep(0.2)
    tab = Tab(connection)
    await tab.open()
    for name, about in pages.found().items():
        await tab.go(f"{url}/{'' if about.default else name}")
        assert not await tab.find("document.querySelectorAll('[data-testid=stException]').length"), name
        if about.default:
            await _move(tab)
    assert not tab.wrong, tab.wrong
    assert not [u for u in tab.outside if not u.startswith((url, url.replace("http", "ws", 1), "data:", "blob:"))]
    connection.close()


async def _move(tab: Tab) -> None:
    """The slider of the first page, by the keyboard."""
    await tab.until(f"!!{FIRST}('input#bits', document)")
    await tab.find(f"{FIRST}('input#bits', document).focus()")
    await tab.press(HOME)
    await tab.until(f"{FIRST}('.line', document).textContent.includes('at 2 bits')")
    await tab.until("location.search.includes('budget=2')")  # the server has heard of it
    await tab.until(SETTLED)


def test_every_page_draws_and_the_first_moves(port: int, tmp_path: Path) -> None:
    server = Server(tmp_path / "store")
    try:
        asyncio.run(_walk(port, server.url))
    finally:
        server.stop()
