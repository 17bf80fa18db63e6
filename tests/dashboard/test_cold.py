"""What a server's first visitor waits for: Answer needs a study's numbers, and nothing that makes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.requests import Request

from dashboard.lib import pages

SCRIPT = Path(__file__).parents[2] / "dashboard" / "lib" / "script.py"
OPEN = f"""
import json, sys
from streamlit.testing.v1 import AppTest
before = set(sys.modules)
at = AppTest.from_file({str(SCRIPT)!r}, default_timeout=120).run()
said = [m.value for m in at.markdown]
print(json.dumps([len(at.exception), len(at.get("vega_lite_chart")), said, sorted(set(sys.modules) - before)]))
"""
#: Half a second to several of them each; what trains, searches, splits, downloads, exports or draws paper.
HEAVY = ("torch", "sklearn", "scipy.stats", "scipy.optimize", "pooch", "vl_convert", "onnx", "onnxruntime")


def test_opening_answer_imports_nothing_that_trains_or_exports(own_study: Path) -> None:
    environment = {**os.environ, "CFQ_STORE": str(own_study), "PYTHONPATH": str(SCRIPT.parents[2])}
    ran = subprocess.run([sys.executable, "-c", OPEN], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    exceptions, charts, said, loaded = json.loads(ran.stdout)
    assert not exceptions and charts == 0 and any("promised actions fail" in s for s in said), said
    assert not [name for name in HEAVY if name in loaded]
    assert not [name for name in loaded if name.startswith("dashboard.pages.")], "the other pages are not imported"


def test_pages_are_known_without_importing_them_and_are_what_they_say() -> None:
    from importlib import import_module

    for name, place in pages.found().items():
        page = import_module(f"dashboard.pages.{name}").PAGE
        assert vars(place) == {k: v for k, v in vars(page).items() if k != "body"}


@pytest.mark.parametrize(("query", "given"), [(b"", "./"), (b"study=ab12&seed=1", "./?study=ab12&seed=1")])
def test_the_opening_page_can_be_asked_for_by_its_name(query: bytes, given: str) -> None:
    from dashboard.app import app, at_the_root

    assert [r.path for r in app._user_routes] == ["/answer"]
    asked = Request({"type": "http", "path": "/answer", "query_string": query, "headers": []})
    assert at_the_root(asked).headers["location"] == given
