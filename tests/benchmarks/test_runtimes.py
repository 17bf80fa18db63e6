"""What is published of other runtimes is what was measured there."""

from __future__ import annotations

import json

import pytest

from benchmarks import runtimes
from cfq_core.models.target import Target

FOUND = json.loads(runtimes.OUT.read_text(encoding="utf-8"))["files"]


@pytest.mark.parametrize("runtime", [name for name in FOUND if name.startswith("onnxruntime")])
def test_what_is_written_by_default_loads_and_decides_as_audited(runtime: str) -> None:
    """In current and old onnxruntime alike, with raw columns too, and so do the files that run anywhere."""
    for f in FOUND[runtime]:
        if runtimes.TARGETS[f["target"]].containers != "native":
            assert (f["loaded"], f["differing"]) == (f["files"], 0), f
    assert {runtimes.TARGETS[f["target"]] for f in FOUND[runtime]} > {Target(), Target(13, "int8")}
    assert sum(f["decisions"] for f in FOUND[runtime]) > 1_000_000


def test_a_runtime_that_is_too_old_for_int2_says_so_and_is_shown() -> None:
    old = [f for f in FOUND["onnxruntime 1.19.2"] if runtimes.TARGETS[f["target"]].containers == "native"]
    assert old and all(f["loaded"] == 0 and f["refused"] for f in old)
    text = runtimes.section()
    assert all(name in text for name in FOUND) and "| 0 of 28 |" in text
