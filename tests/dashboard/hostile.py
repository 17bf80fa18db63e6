"""Names that would be markup, links, pictures or scripts if anything took them for more than words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cfq_core.base.seeds import numpy_stream
from cfq_core.pipeline import Setting
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.training.loop import TeacherTraining

AWAY = "http://127.0.0.1:9/zq"  # where nobody listens, or a test's listener


def names(away: str = AWAY) -> list[str]:
    """Sixty of them; each that calls out calls ``away``."""
    host = away.removeprefix("http:")
    return [
        f"![zq]({away})", f"[zq]({away})", f"<img src={away}>", f"<img src=x onerror=fetch('{away}')>", f"<{away}>",
        f"<script src={away}></script>", f"<script>fetch('{away}')</script>", f"<iframe src={away}>", away,
        f"<a href={away}>zq</a>", f"<svg onload=fetch('{away}')>", f"<style>@import '{away}';</style>",
        f"<link rel=stylesheet href={away}>", f"[zq]: {away} 'zq'", "![zq][zq]", f"[![zq]({away})]({away})",
        f"javascript:fetch('{away}')", f"[zq](javascript:fetch('{away}'))", f"![zq]({host})", f"www.zq.example/{host}",
        "zq@zq.example", "mailto:zq@zq.example", f"&lt;img src={away}&gt;", f"&#33;&#91;zq&#93;({away})", "&amp;zq",
        "# zq", "## zq", "> zq", "- zq", "* zq", "+ zq", "1. zq", "1) zq", "---", "***", "zq ===", "| zq | zq |",
        "`zq`", "```zq", "~~zq~~", "**zq**", "__zq__", "_zq_", "*zq*", "zq**zq", "$zq$", "$$zq$$", r"\zq\[zq\]",
        ":material/home: zq", ":red[zq]", ":red-background[zq]", ":small[zq]", ":smile:", ":streamlit: zq",
        "zq -> zq", "zq <-> zq", "zq -- zq", "zq >= zq <= zq != zq", "{zq}", "%s %(zq)s {0} ${zq}",
    ]  # fmt: skip


def study_of(folder: Path, hostile: list[str]) -> Path:
    """A store whose one study is on a table with these names: columns, words, units, levels, title and study."""
    assert len(hostile) >= 6
    random, rows = numpy_stream(0, "tests/hostile"), 400
    income, hours = random.gamma(4.0, 8.0, rows).round(1), random.integers(10, 60, rows)
    kind, home = random.integers(0, 2, rows), random.integers(0, len(hostile) - 4, rows)
    good = income + hours / 4 + 9 * (home % 2) + random.normal(0, 4, rows) > 48
    columns = {"income": income, hostile[0]: hours, hostile[1]: [hostile[2 + k] for k in kind],
               "home": [hostile[4 + h] for h in home], "outcome": ["yes" if g else "no" for g in good]}  # fmt: skip
    quoted = lambda cell: '"' + str(cell).replace('"', '""') + '"'  # noqa: E731
    lines = [columns, *zip(*columns.values(), strict=True)]
    folder.mkdir(parents=True)
    (folder / "table.csv").write_text("\n".join(",".join(map(quoted, line)) for line in lines) + "\n")
    features: list[dict[str, Any]] = [
        {"name": "income", "kind": "number", "unit": hostile[3], "label": hostile[2], "step": 0.1},
        {"name": hostile[0], "kind": "integer", "unit": hostile[1]},
        {"name": hostile[1], "kind": "category", "levels": hostile[2:4], "protected": True},
        {"name": "home", "kind": "category", "levels": hostile[4:]},
    ]
    head = {"name": "hostile", "title": hostile[5], "csv": "table.csv", "target": "outcome", "favourable": "yes"}
    text = "\n".join(f"{k} = {json.dumps(v)}" for k, v in head.items())
    for f in features:
        text += "\n[[feature]]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in f.items()) + "\n"
    (folder / "card.toml").write_text(text)
    setting = Setting(
        hidden=(8,), people=60, n_reaudited=20, n_training_recourse=40,
        teacher_training=TeacherTraining(epochs=12, rows_per_step=32),
    )  # fmt: skip
    store = Store(folder / "store")
    run_plan(Plan((str(folder / "card.toml"),), ("ptq",), (2.0, 4.0), (0, 1), setting, name=hostile[5]), store)
    store.close()
    return folder / "store"
