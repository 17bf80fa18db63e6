"""A corpus of model files of every family this field ships, audited in pairs, each answer recomputed by a judge.

python -m benchmarks.corpus        # needs the bench extra; writes benchmarks/numbers/corpus.json
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent.parent / "numbers" / "corpus.json"
TEACHERS, PAIRS, READ = 60, 120, 0.9  # bars


def section(path: Path = OUT) -> str:
    """The table for benchmarks/RESULTS.md, from the stored numbers."""
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    teachers, pairs = found["teachers"], found["pairs"]
    meant = [t for t in teachers if not t["must_refuse"]]
    read = sum(t["audited"] for t in meant)
    wrong = sum(p["outcome"] == "silent wrong answer" for p in pairs)
    out = [
        "## A corpus of other tools' files",
        "",
        f"{len(teachers)} teacher files and {len(pairs)} pairs made by torch (both exporters), scikit-learn, xgboost,",
        "lightgbm and onnxruntime's quantizer from fixed seeds; every pair is audited by the command line, and a",
        "script that knows onnxruntime, numpy and pandas alone encodes the rows anew and recomputes from the",
        "per-person answers whether each promise holds. A refusal is one line that says what to do; where it asks for",
        "the layout,",
        f"that is said and the pair audited again ({sum(bool(p['asked']) for p in pairs)} pairs). Made by",
        "`python -m benchmarks.corpus`.",
        "",
        "| bar | found | reached |",
        "|---|---|---|",
        _bar(f"at least {TEACHERS} teachers", len(teachers), len(teachers) >= TEACHERS),
        _bar(f"at least {PAIRS} pairs", len(pairs), len(pairs) >= PAIRS),
        _bar("0 silent wrong answers", wrong, wrong == 0),
        _bar(
            f"at least {100 * READ:.0f} % of {len(meant)} well-meant teachers quantized or audited",
            f"{100 * read / len(meant):.0f} %",
            read >= READ * len(meant),
        ),
        "",
        "| family of the teacher | files | read as layers | pairs | right | refused | silent wrong | promises judged |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for family in sorted({t["family"] for t in teachers}):
        mine = [t for t in teachers if t["family"] == family]
        out.append(_line(family, mine, [p for p in pairs if p["family"] == family]))
    out += ["", "| student | pairs | right | refused | silent wrong | promises judged |", "|---|---|---|---|---|---|"]
    for kind in sorted({p["kind"] for p in pairs}):
        out.append(f"| {kind} | {_counted([p for p in pairs if p['kind'] == kind])} |")
    return "\n".join(out)


def _bar(what: str, found: Any, reached: bool) -> str:
    return f"| {what} | {found} | {'yes' if reached else '**no**'} |"


def _line(family: str, teachers: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> str:
    quantized = sum(t["layers"] for t in teachers)
    return f"| {family} | {len(teachers)} | {quantized} | {_counted(pairs)} |"


def _counted(pairs: list[dict[str, Any]]) -> str:
    found = Counter(p["outcome"] for p in pairs)
    counts = [len(pairs), found["right"], found["refused"], found["silent wrong answer"]]
    return " | ".join(map(str, [*counts, sum(p["promises"] for p in pairs)]))
