"""The published certificates table: one command made it, on every data set, and nothing contradicts it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import certificates
from cfq_core.tables.schema import Table

ENOUGH = 1_000_000  # trials


def test_the_published_table_is_of_one_command_and_contradicted_by_no_trial() -> None:
    found = json.loads(certificates.OUT.read_text(encoding="utf-8"))
    module, *given = shlex.split(found["command"])[2:]
    lines = found["lines"]
    assert module == "benchmarks.certificates" and ";" not in given
    measured = list(dict.fromkeys(x["data_set"] for x in lines))
    assert measured == list(certificates.SEEDS) == given[: len(measured)]
    cells = {(x["data_set"], x["kappa"], x["bits"]) for x in lines}
    assert len(cells) == len(lines) == len(certificates.SEEDS) * len(certificates.KAPPAS) * len(certificates.BITS)
    assert sum(x["trials"] for x in lines) >= ENOUGH
    assert all(x["contradictions"] == 0 for x in lines)
    assert found["command"] in certificates.section()


def test_a_run_names_the_data_sets_it_measured_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_table: Callable[[str], Table]
) -> None:
    real_table("german")
    out = tmp_path / "numbers.json"
    monkeypatch.setattr(certificates, "SEEDS", {"german": (0,)})
    monkeypatch.setattr(certificates, "BITS", (8,))
    monkeypatch.setattr("sys.argv", ["x", "--people", "6", "--attacked", "2", "--trials", "64", "--out", str(out)])
    certificates.main()
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["command"] == "python -m benchmarks.certificates german --people 6 --attacked 2 --trials 64"
    assert [x["kappa"] for x in found["lines"]] == [0.2, 1.0]
    assert all(0 < x["people"] <= 6 and x["contradictions"] == 0 for x in found["lines"])
