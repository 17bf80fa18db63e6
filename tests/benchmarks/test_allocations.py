"""The table of allocators says what its numbers say: bars, ties and the negative result."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import allocations

SEEDS = (10, 11, 12, 13)


def _written(path: Path, measured: float, recourse: float, spread: float = 0.01) -> str:
    """The section of one table on which every allocator breaks .2, but for two of them, and the best .1."""
    rates = dict.fromkeys(allocations.ALLOCATORS, 0.2) | {allocations.BEST: 0.1}
    rates |= {"measured": measured, "recourse_sensitivity": recourse}
    sign = {"hessian_trace": 1, allocations.BEST: 1}
    at = {
        a: {m: [rate + spread * (-1) ** i * sign.get(a, -1) for i in range(len(SEEDS))] for m in allocations.MEASURES}
        for a, rate in rates.items()
    }
    found = {f"{b:g}": at for b in allocations.BUDGETS}
    path.write_text(json.dumps({"tables": {"adult": {"seeds": SEEDS, "found": found}}}))
    return allocations.section(path)


def _rows(text: str, part: str) -> list[str]:
    return [line for line in text.splitlines() if part in line and line.startswith("| ")]


def test_a_plan_near_the_best_and_far_from_hessian_trace_reaches_the_aims(tmp_path: Path) -> None:
    text = _written(tmp_path / "a.json", measured=0.11, recourse=0.3)
    assert all("| yes |" in row for row in _rows(text, "within 0.015") + _rows(text, "at most 0.75"))
    assert "more in 4, and 0 are ties" in text and "a negative result" in text
    assert "4 cells, 0 of them ties" in text and "**no**" in _rows(text, "that in at least 6")[0]


def test_a_plan_that_differs_by_less_than_seeds_do_is_a_tie_and_a_miss_is_a_miss(tmp_path: Path) -> None:
    text = _written(tmp_path / "b.json", measured=0.19, recourse=0.2, spread=0.05)
    assert all("**no**" in row for row in _rows(text, "within 0.015"))
    assert all("| tie |" in row for row in _rows(text, "at most 0.75"))
    assert "fewer promises in 0, more in 0, and 4 are ties" in text


def test_nothing_measured_is_no_section(tmp_path: Path) -> None:
    assert allocations.section(tmp_path / "none.json") == ""
