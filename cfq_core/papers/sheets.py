"""The inventory entry of a model and the table of its challengers, from what is stored; nothing is filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from cfq_core import __version__
from cfq_core.base.errors import BadInput
from cfq_core.pipeline import Design
from cfq_core.report import names
from cfq_core.study import summary
from cfq_core.study.over_seeds import OverSeeds, over_seeds
from cfq_core.study.store import Row, Store
from cfq_core.tables.schema import Schema

NOT_STATED = "not stated"
MEASURES = ("accuracy", "vd", "vd_matched", "approval_shift")
FAMILIES = ("PTQ", "QAT", "CFQ")  # besides FP32: kinds of challenger that a table should have


@dataclass(frozen=True)
class Stated:
    """What only an owner knows of a model; what is empty is shown as not stated."""

    owner: str = ""
    purpose: str = ""
    tier: str = ""
    expires: str = ""  # a date, 2027-06-30

    def __post_init__(self) -> None:
        for name in ("owner", "purpose", "tier", "expires"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise BadInput(f"papers: {name} is {value!r}; a text is needed")
            object.__setattr__(self, name, " ".join(value.split()))
        try:
            if self.expires:
                date.fromisoformat(self.expires)
        except ValueError:
            raise BadInput(f'papers: expires "{self.expires}" is no date; such as 2027-06-30') from None


def inventory(stated: Stated, about: Mapping[str, str], study: Row, run: Row, design: Design) -> dict[str, str]:
    """What a register of models asks, a text each; ``about``: the files and what decided."""
    table, setting = design.table, run["spec"]["teacher"]["setting"]
    schema: Schema = table.schema
    of_study = {k: str(v) for k, v in study["versions"].items()}
    return {
        "purpose": stated.purpose or NOT_STATED, "owner": stated.owner or NOT_STATED,
        "tier": stated.tier or NOT_STATED, "valid until": stated.expires or NOT_STATED,
        "model": f"{names.both(run['method'])} at {run['budget']:g} bits, seed {run['seed']}",
        "network": summary.net_words(setting), "bits of each layer": "-".join(map(str, run["bits"])),
        "average bits": f"{run['avg_bits']:.2f}",
        "decides": f"{schema.favourable} or {schema.unfavourable}",
        "table": f"{schema.title}, {len(table):,} people, fingerprint {run['spec']['teacher']['data']}",
        "source": schema.source or NOT_STATED, "licence": schema.licence or NOT_STATED,
        "protected columns": ", ".join(f.words for f in schema.protected) or "none",
        "what people may change": f"as the card says, regime {setting['regime']}",
        "promise": summary.margin_words(setting),
        **about,
        "run": str(run["id"]), "original model": str(run["teacher_id"]), "study": f"{study['id']} ({study['name']})",
        "study made": str(study["created"]),
        **{f"made with {k}": v for k, v in of_study.items()}, "papers made with": f"cfq {__version__}",
    }  # fmt: skip


def challengers(store: Store, study: Row, run: Row) -> list[dict[str, Any]]:
    """The original and every method of the study at the run's budget: means over seeds with Student's intervals."""
    varied, own = summary.varied(study["plan"]), run["spec"]["teacher"]["setting"]
    setting = {k: summary.value_of(own, k) for k in varied}
    teachers = [t for t in store.teachers(study["id"]) if t["dataset"] == run["dataset"]]
    accuracy = {
        t["seed"]: {"value": t["measures"]["accuracy"], "count": 1}
        for t in teachers if summary.same(t["spec"]["setting"], own, varied)
    }  # fmt: skip
    out = [_challenger("FP32", "teacher", "", {"accuracy": over_seeds(accuracy, share=True)}, len(accuracy))]
    for line in summary.lines(store, study["id"]):
        if (line.dataset, line.budget) == (run["dataset"], run["budget"]) and line.setting == setting:
            measures = {name: line.measure(name) for name in MEASURES}
            one = _challenger(family(line.method), line.method, line.leniency, measures, line.seeds)
            out.append(one | {"filed": line.method == run["method"]})
    return out


def family(method: str) -> str:
    """Rounded after training, trained for accuracy, or trained on promises; empty where a name does not say."""
    for start, kind in (("cfq", "CFQ"), ("qat", "QAT"), ("ptq", "PTQ"), ("cf_ptq", "PTQ"), ("adaround", "PTQ")):
        if method.startswith(start):
            return kind
    return ""


def missing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Kinds of challenger that a study did not try."""
    return [f for f in FAMILIES if f not in {r["kind"] for r in rows}]


def _challenger(
    kind: str, method: str, lenient: str, measures: Mapping[str, OverSeeds], seeds: int
) -> dict[str, Any]:  # fmt: skip
    row: dict[str, Any] = {"kind": kind, "method": method, "name": names.plain(method), "filed": False, "seeds": seeds}
    for name in MEASURES:
        m = measures.get(name)
        row |= {name: m and m.mean, f"{name}_low": m and m.low, f"{name}_high": m and m.high}
    return row | {"lenient": lenient}
