"""Where it is installed: the wheel and the checkout, started in a folder that would take it over if it could."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.lib import pages
from tests.browser.conftest import CHECKOUT, PATIENCE, ROOT, Server
from tests.browser.test_walk import settled

pytestmark = pytest.mark.gate
TAKES_OVER = ("dashboard", "cfq_dashboard", "cfq_core", "streamlit", "numpy", "lib", "pages", "app")
SETTINGS = '[server]\nenableCORS = false\nenableXsrfProtection = false\nallowedHosts = ["*"]\n' \
    'corsAllowedOrigins = ["http://evil.example"]\n[browser]\ngatherUsageStats = true\n'  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of a wheel installed in an environment of its own, on this one's dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    built = subprocess.run([*pip, "wheel", str(ROOT), "--no-deps", "-w", str(folder)], capture_output=True, text=True)
    if built.returncode:
        pytest.skip(f"no wheel can be built here: {built.stderr.strip().splitlines()[-1:]}")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    (home,) = (folder / "venv").glob("lib/python3*/site-packages")
    (home / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (file,) = folder.glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--ignore-installed", "--prefix", str(folder / "venv"), str(file)], check=True
    )
    return folder / "venv" / "bin" / "cfq"


@pytest.fixture(scope="module", params=["wheel", "checkout"])
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, in a folder with settings that open it and modules named like ours."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "config.toml").write_text(SETTINGS)
    for name in TAKES_OVER:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'TAKEN')!r}, 'a').write('{name} ')")
    how = CHECKOUT if request.param == "checkout" else (str(request.getfixturevalue("wheel")),)
    how = (*how[:1], "-P", *how[1:]) if request.param == "checkout" else how
    running = Server(folder / "store", how, folder)
    yield running
    running.stop()
    assert "Traceback" not in (said := (folder / "server.log").read_text()), said
    assert not (folder / "TAKEN").exists(), (folder / "TAKEN").read_text()


def test_every_page_opens(hostile: Server, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 1400})
    context.set_default_timeout(PATIENCE)
    outside: list[str] = []
    context.on(
        "request", lambda r: None if r.url.startswith((hostile.url, "data:", "blob:")) else outside.append(r.url)
    )
    page = context.new_page()
    for name, about in pages.found().items():
        page.goto(f"{hostile.url}/{'' if about.default else name}")
        page.locator("h1").first.wait_for()
        settled(page)
        assert page.get_by_test_id("stException").count() == 0, name
    context.close()
    assert not outside, outside


def status(server: Server, path: str, **headers: str) -> int:
    asked = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    asked.putrequest("GET", path, skip_host=True)
    for name, value in headers.items():
        asked.putheader(name.replace("_", "-"), value)
    asked.endheaders()
    return asked.getresponse().status


def test_foreign_hosts_and_origins_are_refused(hostile: Server) -> None:
    mine = f"127.0.0.1:{hostile.port}"
    socket = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
              "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA=="}  # fmt: skip
    for host, origin, due in (
        (mine, f"http://{mine}", 101),
        (mine, "http://evil.example", 403),
        ("evil.example", "http://evil.example", 403),
        (f"evil.example:{hostile.port}", f"http://{mine}", 403),
    ):
        assert status(hostile, "/_stcore/stream", Host=host, Origin=origin, **socket) == due, (host, origin)
    assert status(hostile, "/_stcore/health", Host=mine) == 200
    for path in ("/", "/person", "/_stcore/host-config", "/media/x"):
        assert status(hostile, path, Host="evil.example") == 400, path


def test_a_study_is_made_from_the_command_line(wheel: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CFQ_DATA_DIR")}
    tiny = "run --dataset diabetes --methods ptq --bits 8 --seeds 1 --hidden 8 --people 20".split()
    ran = subprocess.run([str(wheel), *tiny], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / ".cfq" / "studies.sqlite").is_file() or list((tmp_path / ".cfq").glob("*.sqlite*"))
    where = subprocess.run([str(wheel.parent / "python"), "-P", "-c", "import cfq_dashboard.lib.pages as p, cfq_core;"
                            "print(cfq_core.__file__, *p.found())"], cwd=tmp_path, env=environment,
                           capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert re.match(rf"{re.escape(str(wheel.parents[1]))}\S+ answer .*study$", where), where
