"""The measured speeds as Markdown, from the numbers that the speed benchmarks wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NUMBERS = Path(__file__).parent / "numbers"


def section() -> str:
    """Each aim of speed beside its numbers; what was not measured is said so."""
    parts = ["## Speed", "| aim | reached | numbers |\n|---|---|---|"]
    training, study = _read("training_speed.json"), _read("study_speed.json")
    rows = [*(_training(training) if training else []), *(_study(study) if study else [])]
    parts[-1] += "\n" + "\n".join(rows) if rows else "\n| - | - | not measured |"
    if training:
        versions = ", ".join(f"{k} {v}" for k, v in training["versions"].items())
        parts.append(
            f"`python -m benchmarks.training_speed`: {training['runs']} runs of {training['steps']} steps, "
            f"net 64-64-32, batch 256, CPU seconds of one thread, one run of the program ({versions}); "
            "`python -m benchmarks.study_speed`."
        )
    return "\n\n".join(parts)


def _read(name: str) -> dict[str, Any] | None:
    path = NUMBERS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _training(found: dict[str, Any]) -> list[str]:
    rows = []
    for shape, s in found["shapes"].items():
        ours, alone = s["stacked"], s["one_by_one"]
        what = f"{shape} shape: {found['runs']} runs stacked, 3 times as fast as one by one"
        rows.append(_row(what, alone / ours >= 3, f"{ours:.1f} s against {alone:.1f} s: {alone / ours:.2f} times"))
        if s["brevitas"] is not None:
            ratio = s["brevitas"] / ours
            numbers = f"{ours:.1f} s against {s['brevitas']:.1f} s: {ratio:.1f} times"
            rows.append(_row(f"{shape} shape: 10 times as fast as Brevitas one by one", ratio >= 10, numbers))
        stacked, single = s["anchored"] / ours, s["anchored_alone"] / s["qat_alone"]
        live, live_single = s["live"] / ours, s["live_alone"] / s["qat_alone"]
        numbers = f"{stacked:.2f} stacked, {single:.2f} alone; K = 10 on the fly: {live:.2f} and {live_single:.2f}"
        rows.append(
            _row(f"{shape} shape: anchored CFQ at most 2.5 times plain QAT", max(stacked, single) <= 2.5, numbers)
        )
    took, naive = found["landscape"]["seconds"], found["landscape"]["naive"]
    numbers = f"{took:.0f} CPU s; a loop over plans, extrapolated from 50: {naive:.0f}"
    rows.append(_row("landscape of 65,536 plans, 2,000 recourse points, under 60 s", took < 60, numbers))
    return rows


def _study(s: dict[str, Any]) -> list[str]:
    numbers = (
        f"{s['wall']:.0f} s on the wall with {s['workers']} workers on {s['cores']} cores at load {s['load']:.1f}, "
        f"{s['cpu']:.0f} CPU s, {s['runs']} runs"
    )
    return [_row("all methods x 3 budgets x 3 seeds on German under 60 s on 2 cores", s["wall"] < 60, numbers)]


def _row(aim: str, good: bool, numbers: str) -> str:
    return f"| {aim} | {'yes' if good else '**no**'} | {numbers} |"
