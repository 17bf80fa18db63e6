"""What stands beside a study's numbers: its data sets, its plan as text, all its tables, its limits in words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from cfq_core.actions.regimes import under
from cfq_core.base.errors import CfqError
from cfq_core.datasets import slices
from cfq_core.datasets.card import read_card
from cfq_core.evidence import SMALLEST_GROUP
from cfq_core.report import pair
from cfq_core.report.figures import chosen, figures
from cfq_core.report.frames import Stored
from cfq_core.study import summary
from cfq_core.study.measured import about_unknown
from cfq_core.tables.constraints import determined
from cfq_core.tables.schema import Feature, Schema

#: Keys of a plan file that stand in the plan itself, and those of its setting.
OF_PLAN, OF_SETTING = ("name", "datasets", "methods", "bits", "seeds"), ("hidden", "kappa", "people", "regime")
SINCE = ("activation", "residual", "activation_bits")  # of settings stored since they are there


def schema_of(study: Stored, dataset: str) -> Schema | None:
    """What a data set's columns mean; None where its card is no longer at hand."""
    if slices.known(dataset):
        return slices.schema(dataset)
    for path in (Path(d) for d in study.row["plan"]["datasets"] if d.endswith(".toml")):
        try:
            schema = read_card(path).schema
        except CfqError:
            continue  # a study outlives its card
        if schema.name == dataset:
            return schema
    return None


def features(schema: Schema, study: Stored) -> pd.DataFrame:
    """One row a feature: its words, kind, unit, and what a person may do about it under the study's regime."""
    follows = determined(schema)
    rows = [
        (f.words, f.kind, f.unit or "–", "follows" if f.name in follows else _move(f), "yes" if f.protected else "")
        for f in under(study.setting["regime"], schema).features
    ]
    return pd.DataFrame(rows, columns=["feature", "kind", "unit", "may change", "group column"])


def tables(study: Stored) -> dict[str, str]:
    """Fingerprint of each data set's table, as its teachers' specs hold it."""
    with study.store() as store:
        return {t["dataset"]: t["spec"]["data"] for t in store.teachers(study.id)}


def plan_text(study: Stored) -> str:
    """The plan as TOML that `cfq study` reads."""
    plan, setting = study.row["plan"], study.row["plan"]["setting"]
    given = {k: plan[k] for k in OF_PLAN} | {k: setting[k] for k in OF_SETTING}
    given |= {k: setting[k] for k in SINCE if k in setting}
    if (share := setting.get("margin")) is not None:
        given = {k: v for k, v in given.items() if k != "kappa"} | {"margin": f"cost:{100 * share:g}%"}
    given["people"] = "all" if given["people"] is None else given["people"]
    given["recourse"] = summary.format_setting(setting["solver"])
    if plan.get("probes"):
        given["probes"] = plan["probes"]
    for key in study.varied:  # every value once, in the plan's order
        values = [summary.value_of(s, "solver" if key == "steps" else key) for s in (setting, *plan["further"])]
        listed = [summary.format_setting(v) if isinstance(v, dict) else v for v in values]
        given["recourse" if key in ("steps", "solver") else key] = list(dict.fromkeys(listed))
    return "".join(f"{k} = {json.dumps(v)}\n" for k, v in given.items())


def every_table(study: Stored) -> dict[str, pd.DataFrame]:
    """Every table of a study by name: what was measured, who is who, and the rows behind each picture."""
    out = {n: getattr(study, n) for n in ("lines", "measures", "groups", "teachers", "runs", "plans", "sensitivities")}
    for name in ("runs", "landscape"):  # a tuple a cell is no column of a file
        frame = getattr(study, name)
        out[name] = frame.assign(**{c: frame[c].map(_flat) for c in frame.columns if frame[c].dtype == object})
    about = ("dataset", "method", "budget", "seed")
    who = [study.people(r["id"]).assign(run=r["id"], **{k: r[k] for k in about}) for r in study.run_rows]
    out["people"] = pd.concat(who, ignore_index=True) if who else pd.DataFrame()
    told = [pair.frame(found) for run in study.runs.run if (found := pair.told(study, run))]
    out["told"] = pd.concat(told, ignore_index=True) if told else pd.DataFrame()
    for dataset in dict.fromkeys(study.runs.dataset):
        for f in figures(study, chosen(study, dataset)):
            out[f"picture-{_plain(dataset)}-{f.name}"] = f.drawn.rows
    return {name: rows for name, rows in out.items() if not rows.empty}


def _plain(name: str) -> str:
    """Part of a file's name on any system: a slice's name has signs that some refuse."""
    return re.sub(r"[^\w.-]+", "_", name)


def limits(study: Stored, datasets: list[str]) -> list[str]:
    """What these numbers do not say."""
    seeds = len(set(study.runs.seed))
    lines = [
        "One teacher is one draw. "
        + (
            summary.about_own(study.row["plan"])
            if study.row["plan"].get("teacher")
            else "This study has one: no claim rests on it."
            if seeds < 2
            else f"This study has {seeds} of them; bars over seeds say how far they differ."
        ),
        "A model's recourse says what would flip the model's decision, not what would make anybody better off.",
        f"A promise lands beyond the teacher's boundary, by a {study.margin_words}. With another "
        "margin the share that breaks is another one; with none, promises end on the boundary and more of them break.",
        "Validity that is bought by approving more people, or by asking for less where promises end, is leniency: read "
        "every validity drop beside its approval shift and its mean recourse gap, or at matched approval.",
        f"Groups of fewer than {SMALLEST_GROUP} people are counted and not shown; absence of a difference there is not "
        "shown either. Intervals are 95 %, each by itself: among many, some will miss. Of a method they are Student's "
        "t over seeds; those over people are of one model alone, and say so.",
        f"{_how_cheap(study)} Costs are in scale units (a change over the feature's median absolute deviation), not in "
        "money or time.",
        "Weights have the stated bits; activations have 8, biases 32. Other runtimes may round otherwise: "
        "cfq export proves a file on its own runtime.",
        "The people are in the test rows of the tables named above. Nothing is said about others.",
    ]
    lines += [gone] if (gone := about_unknown(study.measured.values())) else []
    schemas = [s for d in datasets if (s := schema_of(study, d)) is not None and s.note]
    return lines + [f"{s.title}: {s.note}" for s in schemas]


def _how_cheap(study: Stored) -> str:
    """What the study's own actions are: the cheapest found, or proved so."""
    proved = study.lines[(study.lines.measure == "proved") & (study.lines["mean"] > 0)]
    if proved.empty:
        return "Actions are the cheapest that the search found; a cheaper one may exist."
    least = proved["mean"].min()
    return (
        f"Actions are proved the cheapest, or that there is none, for {100 * least:.1f} % or more of the people asked "
        "twice, on either model and under every method; of the others a cheaper one may exist."
    )


def _move(f: Feature) -> str:
    if f.move == "fixed":
        return "no"
    never = f"; nobody is sent to {', '.join(f.never)}" if f.never else ""
    return {"any": "either way", "up": "up only", "down": "down only"}[f.move] + never


def _flat(cell: object) -> object:
    return "-".join(map(str, cell)) if isinstance(cell, tuple) else cell
