"""A real browser (Debian's chromium) on a real server; skipped, with the reason, where one of them is absent."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update")  # fmt: skip
CHECKOUT = (sys.executable, "-m", "cfq_core.cli")
PATIENCE = 120_000  # milliseconds: the gate's machine may be busy
#: A deep link makes streamlit's front end probe these under the page's address before it finds them at the root.
PROBES = ("_stcore/health", "_stcore/host-config")


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Server:
    """A dashboard on a free port, with a store of its own: this checkout's, or what ``cfq`` starts in a folder."""

    def __init__(self, store: Path, cfq: tuple[str, ...] = CHECKOUT, folder: Path = ROOT) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url, self.store, self.cfq, self.folder = f"http://127.0.0.1:{self.port}", store, cfq, folder
        self.log = (store.parent / "server.log").open("ab")
        self.start()

    def start(self) -> None:
        command = [*self.cfq, "dashboard", "--port", str(self.port), "--store", str(self.store)]
        environment = os.environ | ({"PYTHONPATH": str(ROOT)} if self.cfq == CHECKOUT else {})
        self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=self.log, stderr=self.log)
        end = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as answer:
                    if answer.read() == b"ok":
                        return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server did not come up")

    def kill(self) -> None:
        """As a power cut would: no signal it could act upon."""
        self.process.kill()
        self.process.wait(timeout=30)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]")
    if chromium() is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with api.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=chromium(), args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, the accessibility checker, from the package that bundles it."""
    found = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed: pip install -e .[dev]")
    return (Path(found.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("browser") / "store")
    yield running
    running.stop()


@pytest.fixture
def open_tab(browser: Any, server: Server) -> Iterator[Callable[..., Any]]:
    """Opens tabs whose requests stay on this machine; afterwards nothing may have gone wrong in any of them."""
    contexts, wrong, outside = [], [], []

    def watch(page: Any) -> None:
        page.on("pageerror", lambda e: wrong.append(f"page error: {e}"))
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" and not _probe(m) else None)

    def open_(width: int = 1440, height: int = 1400, scheme: str = "light", context: Any = None) -> Any:
        if context is None:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            context.set_default_timeout(PATIENCE)
            context.route("**/*", lambda r: _local(r, server.url, outside))
            contexts.append(context)
        page = context.new_page()
        watch(page)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not outside, f"requests left this machine: {outside}"
    assert not wrong, wrong


def _probe(message: Any) -> bool:
    return "404" in message.text and any(p in message.location.get("url", "") for p in PROBES)


def _local(route: Any, url: str, outside: list[str]) -> None:
    if route.request.url.startswith((url, url.replace("http", "ws", 1), "data:", "blob:")):
        route.continue_()
    else:
        outside.append(route.request.url)
        route.abort()
