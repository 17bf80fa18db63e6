"""Papers of a stored run, for the files of whoever answers for the model: reasons, inventory, challengers, impact.

Built from what is stored and from the table that the run was audited with. No law is named: which papers are due where
is for their readers to know. What nobody said (owner, purpose, tier) is "not stated", and no number is made up for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from cfq_core import __version__
from cfq_core.base import plugins
from cfq_core.base.errors import BadInput
from cfq_core.evidence import SMALLEST_GROUP, approved, difference, wilson
from cfq_core.methods.approval_matched import ApprovalMatchedQat
from cfq_core.methods.method import Qat
from cfq_core.nets.stack import score
from cfq_core.pipeline import Design, prepare
from cfq_core.quant.quantized import QuantStack
from cfq_core.report import facts, names
from cfq_core.report.frames import Stored
from cfq_core.report.reasons import Judge, Reasons, confirmed, principal
from cfq_core.study import summary
from cfq_core.study.measured import current_measures
from cfq_core.study.models import student_of
from cfq_core.study.over_seeds import NOTHING, OverSeeds, over_seeds
from cfq_core.study.pair import made_here
from cfq_core.study.store import Row, Store
from cfq_core.study.tables import found_table
from cfq_core.tables.encode import Values

FORMAT = "cfq papers 1"
UNSAID = "not stated"
FAMILIES = ("FP32", "PTQ", "QAT", "CFQ")
#: Measures of the challenger table.
COMPARED = ("accuracy", "vd", "vd_matched", "approval_shift")


@dataclass(frozen=True)
class Said:
    """What only people can say of a model; dates as YYYY-MM-DD, empty where nobody said it."""

    owner: str = ""
    purpose: str = ""
    tier: str = ""
    expires: str = ""
    made: str = ""


@dataclass(frozen=True)
class Shipped:
    """The exported file, and how a runtime decides by it."""

    name: str
    content: bytes
    judges: tuple[Judge, ...]  # one an optimisation level
    runtime: str  # "onnxruntime 1.31 at optimisation off, basic, ..."


@dataclass(frozen=True)
class Run:
    """One stored run, with the people it decides about."""

    row: Row
    study: Stored
    design: Design
    student: QuantStack

    @property
    def test(self) -> Values:
        """Its test people, in exact integer form."""
        return self.design.table.values[self.design.split.test]

    def judge(self, values: Values) -> Float[np.ndarray, "n"]:
        """Logits of the stored integers."""
        with torch.no_grad():
            inputs = torch.tensor(self.design.encoding.encode(values))[None]
            found: Float[np.ndarray, "n"] = score(self.student.to(torch.float64), inputs)[0].numpy()
        return found


@dataclass(frozen=True)
class Papers:
    """Everything that is filed of one run."""

    run: Run
    inventory: Mapping[str, str]
    hashes: Mapping[str, str]  # sha256 of what decides, by name
    limits: Sequence[str]
    challengers: pd.DataFrame
    impact: pd.DataFrame
    reasons: Sequence[Reasons]
    unconfirmed: int  # people of whom the exported file did not confirm everything
    verified: str  # on what the reasons were
    shipped: Shipped | None = None

    @property
    def missing(self) -> list[str]:
        """Families of methods that nobody put beside this one."""
        return [f for f in FAMILIES if f not in set(self.challengers.family)]


def stored(store: Store, id: str, card: Path | None = None) -> Run:
    """A run by id (or the start of one) with its people; raises `BadInput` where its table is not at hand."""
    row = store.run(id)
    made_here(row)
    spec, holding = row["spec"]["teacher"], [s for s in store.studies() if row["id"] in _ids(store, s)]
    named = [{"datasets": [str(card)]}] if card else []
    found = found_table(row["dataset"], spec["data"], [*named, *store.plans_of(row["id"])], store.folder)
    if found.table is None:
        raise BadInput(
            f"run {row['id']}: the table it was audited with is not here, so nobody's reasons can be told "
            f"({found.missing}); name its card with --card, or fetch it with cfq data fetch"
        )
    most = max(holding, key=lambda s: s["finished"])  # the study with most challengers; the newest of several such
    study = Stored(str(store.folder), most["id"], most["finished"])
    design = prepare(found.table, row["seed"], spec["setting"]["regime"])
    return Run(row, study, design, student_of(store.arrays(row["id"], "weights")))


def papers(store: Store, run: Run, said: Said, shipped: Shipped | None = None) -> Papers:
    """All papers of a run; reasons are those that the exported file confirms, where there is one."""
    logits = run.judge(run.test)
    denied = np.flatnonzero(~approved(logits))
    reasons = principal(run.design.actions, run.judge, denied, run.test[denied])
    verified, lost = "the stored integers alone: the export extra is not installed", 0
    if shipped is not None:
        reasons, lost = confirmed(reasons, run.design.actions, shipped.judges)
        verified = f"the stored integers, and {shipped.runtime} on {shipped.name}"
    dataset = run.row["dataset"]
    return Papers(
        run, inventory(run, said), hashes(store, run, shipped), facts.limits(run.study, [dataset]),
        challengers(store, run), impact(store, run, logits), reasons, lost, verified, shipped,
    )  # fmt: skip


def _ids(store: Store, study: Row) -> set[str]:
    return {r["id"] for r in store.runs(study["id"])}


# ---------------------------------------------------------------------- inventory
def inventory(run: Run, said: Said) -> dict[str, str]:
    """The entry of a model inventory: what somebody said of it, and what is stored."""
    row, schema, setting = run.row, run.design.table.schema, run.row["spec"]["teacher"]["setting"]
    activations = run.student.activations.bits
    return {
        **{k: getattr(said, k) or UNSAID for k in ("purpose", "owner", "tier", "expires")},
        "papers made": said.made or UNSAID,
        "decision": schema.title,
        "favourable": schema.favourable,
        "unfavourable": schema.unfavourable,
        "model": f"{names.both(row['method'])} at {row['budget']:g} bits, seed {row['seed']}",
        "network": summary.net_words(setting),
        "bits": f"weights {'-'.join(map(str, row['bits']))}, activations {activations}, biases 32",
        "people may change": f"what the card allows in the regime {setting['regime']}",
        "promises": run.study.margin_words,
        "data": f"{row['dataset']}, fingerprint {row['spec']['teacher']['data']}",
        "source": schema.source or UNSAID,
        "licence": schema.licence or UNSAID,
        "run": row["id"],
        "FP32 model": row["teacher_id"],
        "study": run.study.id,
        "audited": str(row["created"]),
        **{f"version: {k}": str(v) for k, v in run.study.row["versions"].items()},
        "version: papers by cfq": __version__,
    }


def hashes(store: Store, run: Run, shipped: Shipped | None) -> dict[str, str]:
    """sha256 of the stored integers, of the FP32 model, and of the exported file."""
    out = {}
    for name, owner in (("stored integers", run.row["id"]), ("FP32 model", run.row["teacher_id"])):
        query = "SELECT sha256 FROM artifact WHERE owner_id = ? AND name = 'weights'"
        found = store.db.execute(query, [owner]).fetchone()
        out[name] = str(found[0]) if found else UNSAID
    return out | ({shipped.name: sha256(shipped.content)} if shipped else {})


def sha256(content: bytes) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(content).hexdigest()


# ---------------------------------------------------------------------- challengers
def challengers(store: Store, run: Run) -> pd.DataFrame:
    """FP32 and every method of the study at the run's budget: means over seeds with Student's 95 % interval."""
    row, plan = run.row, run.study.row["plan"]
    varied, setting = summary.varied(plan), row["spec"]["teacher"]["setting"]
    mine = {k: summary.value_of(setting, k) for k in varied}
    lines = [x for x in summary.lines(store, run.study.id)
             if (x.dataset, x.budget, x.setting) == (row["dataset"], row["budget"], mine)]  # fmt: skip
    same = [t for t in store.teachers(run.study.id)
            if t["dataset"] == row["dataset"] and summary.same(t["spec"]["setting"], setting, varied)]  # fmt: skip
    people = len(run.design.split.test)
    seeds = {t["seed"]: {"value": t["measures"].get("accuracy"), "count": people} for t in same}
    zero = {s: {"value": 0.0, "count": people} for s in seeds}
    of_teacher = {"accuracy": over_seeds(seeds, share=True)} | {
        m: OverSeeds(0.0 if zero else None, None, len(zero), None, None, people) for m in COMPARED[1:]
    }
    rows = [_challenger("teacher", "FP32", 32.0, len(seeds), of_teacher, False, False)]
    rows += [_challenger(x.method, family(x.method), x.avg_bits, x.seeds, x.measures, x.lenient,
                         x.method == row["method"]) for x in lines]  # fmt: skip
    order = {f: k for k, f in enumerate(FAMILIES)}
    rows.sort(key=lambda r: order.get(r["family"], len(order)))
    return pd.DataFrame(rows)


def _challenger(
    method: str, of: str, bits: float, seeds: int, measures: Mapping[str, OverSeeds], lenient: bool, filed: bool
) -> dict[str, Any]:
    out: dict[str, Any] = {"family": of, "method": method, "name": names.plain(method), "this model": filed,
                           "bits": bits, "seeds": seeds}  # fmt: skip
    for m in COMPARED:
        found = measures.get(m, NOTHING)
        out |= {m: _float(found.mean), f"{m}_low": _float(found.low), f"{m}_high": _float(found.high)}
    return out | {"lenient": lenient}


def family(method: str) -> str:
    """PTQ: weights are rounded; QAT: trained anew without looking at promises; CFQ: trained on or fitted to them."""
    if method not in plugins.names("methods"):
        return "other"
    found = plugins.load("methods", method)
    if isinstance(found, Qat):
        return "CFQ" if found.needs_recourse else "QAT"
    return "QAT" if isinstance(found, ApprovalMatchedQat) else "PTQ"


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)


# ---------------------------------------------------------------------- impact
IMPACT = (
    "column", "group", "crossing", "people", "judged", "approved_fp32", "approved", "approved_low", "approved_high",
    "approval_shift", "approval_shift_low", "approval_shift_high", "others", "others_low", "others_high", "ratio",
    "promised", "vd", "vd_low", "vd_high", "vd_others", "vd_others_low", "vd_others_high",
)  # fmt: skip


def impact(store: Store, run: Run, logits: Float[np.ndarray, "n"]) -> pd.DataFrame:
    """Approvals and broken promises of every group, and of every crossing of two; small groups are only counted.

    ``others``, ``vd_others``: a group's share less that of everybody outside it (Newcombe's interval). ``ratio``: its
    approvals over those of the group of its column that is approved most often, on this model.
    """
    told, seen = store.arrays(run.row["teacher_id"], "people"), store.arrays(run.row["id"], "people")
    before = approved(told["logits"].astype(float)) if "logits" in told else np.full(len(logits), np.nan)
    asked = told["why"] == 0
    known = _Known(before, approved(logits), told["person"][asked], ~approved(seen["student_at"][asked]))
    measured = current_measures(store, run.study.id, [run.row])[run.row["id"]].groups
    groups = {c: np.array(levels)[run.design.split.test] for c, levels in run.design.table.groups().items()}
    crossed = {f"{a} x {b}": np.array([f"{x}, {y}" for x, y in zip(left, right, strict=True)])
               for (a, left), (b, right) in combinations(groups.items(), 2)}  # fmt: skip
    rows = []
    for column, labels in (groups | crossed).items():
        of = measured.get(column, {})
        of_column = [
            {"column": column, "group": str(x), "crossing": column in crossed}
            | _group(labels == x, known, of.get(str(x), {}))
            for x in np.unique(labels)
        ]
        highest = max((r["approved"] for r in of_column if r["judged"]), default=0.0)
        for r in of_column:
            r["ratio"] = r["approved"] / highest if r["judged"] and highest > 0 else float("nan")
        rows += of_column
    return pd.DataFrame(rows, columns=list(IMPACT))


@dataclass(frozen=True)
class _Known:
    """What both models decided about the test people, and which of those promised something (``asked``) lost it."""

    before: np.ndarray
    now: np.ndarray
    asked: np.ndarray
    broken: np.ndarray


def _group(members: np.ndarray, known: _Known, measured: Mapping[str, Any]) -> dict[str, Any]:
    people = int(members.sum())
    judged, mine = people >= SMALLEST_GROUP, members[known.asked]
    was, is_ = (float(x[members].mean()) if judged else float("nan") for x in (known.before, known.now))
    low, high = wilson(int(known.now[members].sum()), people) if judged else (None, None)
    broken = measured.get("vd") or {"value": None, "low": None, "high": None, "count": 0}
    shift = measured.get("approval_shift") or {"low": None, "high": None}
    return {
        "people": people, "judged": judged, "approved_fp32": was, "approved": is_,
        "approved_low": _float(low), "approved_high": _float(high), "approval_shift": is_ - was,
        "approval_shift_low": _float(shift["low"]), "approval_shift_high": _float(shift["high"]),
        "promised": int(broken["count"]), **_ends("vd", broken),
        **_ends("others", vars(difference(known.now[members], known.now[~members]))),
        **_ends("vd_others", vars(difference(known.broken[mine], known.broken[~mine]))),
    }  # fmt: skip


def _ends(name: str, m: Mapping[str, Any]) -> dict[str, float]:
    return {f"{name}{end}": _float(m[k]) for end, k in (("", "value"), ("_low", "low"), ("_high", "high"))}
