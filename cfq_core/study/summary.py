"""A stored study in numbers a reader can use: mean, spread and interval over seeds, verdicts."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from statistics import mean
from typing import Any

from cfq_core.artifacts.artifact import ProbeResult, artifact, of_arrays
from cfq_core.base import plugins
from cfq_core.evidence import Metric
from cfq_core.study.marks import LEGEND, format_unmatched, is_shown, leniency, tied_sides, unmatched_shift
from cfq_core.study.measured import current_measures
from cfq_core.study.over_seeds import NOTHING, OverSeeds, over_seeds
from cfq_core.study.pair import pair_of
from cfq_core.study.store import Row, Store


def net_words(setting: Mapping[str, Any]) -> str:
    """A study's network in a few words, such as "64-64-32 silu, residual"; older stores hold ReLU nets."""
    widths = "-".join(map(str, setting["hidden"])) or "logistic regression"
    activation, bits = setting.get("activation", "relu"), setting.get("activation_bits", 8)
    kind = f" {activation}" if activation != "relu" and setting["hidden"] else ""
    residual = ", residual" if setting.get("residual") else ""
    return f"{widths}{kind}{residual}{'' if bits == 8 else f', {bits}-bit activations'}"


def networks(plan: Mapping[str, Any]) -> str:
    """What the teachers of a study are, in a few words."""
    if (pair := pair_of(plan)) is not None:
        return f"Teacher: {pair['teacher']['how']}"
    return f"Nets {net_words(plan['setting'])}"


@dataclass(frozen=True)
class Line:
    """All seeds of one (data set, setting, method, budget)."""

    dataset: str
    method: str
    budget: float
    avg_bits: float
    seeds: int
    measures: dict[str, OverSeeds]
    setting: dict[str, Any] = field(default_factory=dict)  # what sets it apart in a study over several settings
    unmatched: float | None = None  # where no threshold matches some seed's approvals: the nearest shift, of the worst
    own: bool = False  # all seeds have one teacher, which was not trained here

    @property
    def lenient(self) -> bool:
        """Approves so many more people, or asks for so much less, that its validity says nothing."""
        return bool(self.leniency)

    @property
    def leniency(self) -> str:
        """Why it is lenient, in words; empty where it is not."""
        return leniency(self.value("approval_shift"), self.value("crg_mean"))

    def measure(self, name: str) -> OverSeeds:
        """One measure; empty where the runs are older than its metric."""
        return self.measures.get(name, NOTHING)

    def value(self, name: str) -> float | None:
        """Mean over seeds."""
        return self.measure(name).mean


def as_json(store: Store, study: str) -> dict[str, Any]:
    """The object that ``--json`` prints."""
    runs, names, probes = [], varied(store.study(study)["plan"]), probe_names(store, study)
    stored = store.runs(study)
    found = current_measures(store, study, stored)
    for row in stored:
        of_run = found[row["id"]]
        runs.append({
            **{k: row[k] for k in ("id", "dataset", "method", "budget", "seed", "bits", "avg_bits")},
            "setting": _apart(row, names),
            "unmatched": unmatched_shift([of_run.overall]),
            "measures": {name: m["value"] for name, m in of_run.overall.items()},
            "intervals": {name: {k: m[k] for k in ("low", "high", "count")} for name, m in of_run.overall.items()},
            "groups": of_run.groups,
            **({"probes": _readings_as_plain(store, row["id"], probes)} if probes else {}),
        })  # fmt: skip
    teachers = [
        {**{k: t[k] for k in ("id", "dataset", "seed")}, "measures": t["measures"],
         **({"probes": _readings_as_plain(store, t["id"], probes)} if probes else {})}
        for t in store.teachers(study)
    ]  # fmt: skip
    methods = [_line_as_plain(x) for x in lines(store, study)]
    return {"study": study, "store": str(store.folder), "runs": runs, "teachers": teachers, "methods": methods}


def _line_as_plain(line: Line) -> dict[str, Any]:
    """What is said of a method: means over seeds with Student's interval of them, none for a single seed."""
    about = {k: getattr(line, k) for k in ("dataset", "method", "budget", "avg_bits", "setting", "seeds", "lenient")}
    kept = ("mean", "sd", "low", "high", "seeds", "people")
    return about | {"measures": {name: {k: getattr(m, k) for k in kept} for name, m in line.measures.items()}}


def lines(store: Store, study: str) -> list[Line]:
    """One line a (data set, setting, method, budget), in the study's order."""
    gathered: dict[tuple[str, str, str, float], list[Any]] = defaultdict(list)
    plan_varies = varied(store.study(study)["plan"])
    stored = store.runs(study)
    found = current_measures(store, study, stored)
    for row in stored:
        key = row["dataset"], json.dumps(_apart(row, plan_varies)), row["method"], row["budget"]
        gathered[key].append((row["avg_bits"], row["seed"], found[row["id"]].overall))
    out = []
    for (dataset, setting, method, budget), runs in gathered.items():
        each = [of_run for *_, of_run in runs]
        names = sorted({name for m in each for name in m if is_shown(name)})  # a run may be older than a metric
        seen = {name: {seed: m[name] for _, seed, m in runs if name in m} for name in names}
        measures = {name: replace(over_seeds(by_seed, is_share(name), _is_p(name)), tied=tied_sides(name, each))
                    for name, by_seed in seen.items()}  # fmt: skip
        bits = mean(b for b, *_ in runs)
        own = bool(store.study(study)["plan"].get("teacher"))
        about = (dataset, method, budget, bits, len(runs), measures, json.loads(setting))
        out.append(Line(*about, unmatched_shift(each), own))
    return out


def varied(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of the setting in which a stored plan's settings differ; none in a study under one setting.

    ``steps`` stands for a solver where only its number of steps differs: it can then be an axis.
    """
    first, settings = plan["setting"], [plan["setting"], *plan.get("further", ())]
    keys = (k for k in first if any(s[k] != first[k] for s in settings))
    by_steps = len({json.dumps({**s.get("solver", {}), "steps": None}, sort_keys=True) for s in settings}) == 1
    return tuple("steps" if k == "solver" and by_steps else k for k in keys)


def value_of(setting: Mapping[str, Any], key: str) -> Any:
    """What a stored setting has for a key that `varied` names."""
    return setting[key] if key in setting else setting["solver"][key]


def same(one: Mapping[str, Any], other: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether two stored settings agree in the keys that a study varies."""
    return all(value_of(one, k) == value_of(other, k) for k in names)


def format_setting(value: Any) -> str:
    """A setting's value in a table: a number, a name, or a part (``pgd:5``: 5 steps; ``exact:4``: seconds)."""
    if isinstance(value, dict):
        number = value.get("steps", value.get("seconds"))
        return str(value["kind"]).lower() + (f":{number:g}" if _is_number(number) else "")
    return f"{value:g}" if _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _apart(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """What sets a run or teacher apart in a study over several settings."""
    spec = row["spec"]
    return {k: value_of(spec.get("teacher", spec)["setting"], k) for k in names}


#: Shares of people that only probes read.
OF_PROBES = ("kept", "robust", "held", "served")


@cache
def _metric(name: str) -> Metric | None:
    base = name.removesuffix("_matched")
    return plugins.load("metrics", base) if base in plugins.names("metrics") else None


def is_share(name: str) -> bool:
    """Whether a measure of runs or probes is between 0 and 1."""
    metric = _metric(name)
    if metric is None:
        return name.removesuffix("_matched") in OF_PROBES
    return metric.unit == "share" and metric.summary != "mean"


def _is_p(name: str) -> bool:
    return (metric := _metric(name)) is not None and metric.unit == "p"


#: Title, measure, factor and digits of each column of the Markdown table.
MARKDOWN = (
    ("accuracy", "accuracy", 100, 2),
    ("approval shift", "approval_shift", 100, 2),
    ("VD", "vd", 1, 3),
    ("VD matched", "vd_matched", 1, 3),
    ("approval shift matched", "approval_shift_matched", 100, 2),
    ("worst group VD", "worst_group_vd", 1, 3),
    ("by chance", "worst_group_vd_by_chance", 1, 3),
    ("p", "worst_group_vd_p", 1, 3),
    ("CRG mean", "crg_mean", 1, 3),
    ("CRG median", "crg_median", 1, 3),
    ("asked for less", "crg_below", 1, 3),
    ("logit shift at recourse", "logit_shift_at", 1, 2),
    ("CRG abs", "crg_abs", 1, 3),
    ("flip rate", "flip_rate", 1, 4),
    ("direction", "direction", 1, 3),
    ("condition holds", "margin_condition", 1, 3),
    ("recourse cost", "recourse_cost", 1, 2),
)


def as_markdown(store: Store, study: str) -> str:
    """A study as Markdown: its setting, mean and sd over seeds, every allocation, and what its probes read."""
    row, found = store.study(study), lines(store, study)
    setting = row["plan"]["setting"]
    count = len(row["plan"]["seeds"])
    seeds = f"{count} seed{'s' if count > 1 else ''}"
    names = varied(row["plan"])
    margin = "" if "kappa" in names else f"promise {margin_words(setting)}, "
    actions = "" if "regime" in names else f"actions `{setting['regime']}`, "
    head = ["data set", *names, "method", "bits", "spent", *(title for title, *_ in MARKDOWN)]
    out = [
        f"net {net_words(setting)}, {seeds}, {margin}{actions}study `{study}`; mean ± sd over seeds, accuracy in %, "
        "approval shift in points, test people only; by chance: the worst group's VD expected of equal groups, "
        "p: of the largest of them (seeds combined)",
        "",
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
    ]
    for x in found:
        cells = [format_mean(x.measure(name), scale, digits) for _, name, scale, digits in MARKDOWN]
        flag = flags(x)
        apart = [format_setting(x.setting[k]) for k in names]
        row_cells = [x.dataset, *apart, f"{x.method}{flag}", f"{x.budget:g}", f"{x.avg_bits:.2f}", *cells]
        out.append(f"| {' | '.join(row_cells)} |")
    out += ["", LEGEND]
    skipped = Counter(store.skipped(study).values())
    out += [f"\n{n} runs are not there: {why}" for why, n in skipped.items()]
    out += ["", "Allocations (weight bits of every layer; how many seeds chose them):", ""]
    plans: dict[tuple[str, str, float], Counter[str]] = defaultdict(Counter)
    for run in store.runs(study):
        apart_by = "".join(f", {k} {format_setting(v)}" for k, v in _apart(run, names).items())
        plans[run["dataset"] + apart_by, run["method"], run["budget"]]["-".join(map(str, run["bits"]))] += 1
    for (dataset, method, budget), counted in plans.items():
        if len(counted) > 1 or len(set(next(iter(counted)).split("-"))) > 1:
            listed = ", ".join(f"{plan} ({n})" for plan, n in counted.most_common())
            out.append(f"- {dataset}, {method}, {budget:g} bits: {listed}")
    for probe, heads, shown_rows in probe_tables(store, study):
        out += [
            "",
            f"Probe `{probe}`, mean ± sd over seeds:",
            "",
            f"| {' | '.join(heads)} |",
            "|" + "---|" * len(heads),
        ]
        out += [f"| {' | '.join(c)} |" for c in shown_rows]
    return "\n".join(out)


def flags(line: Line) -> str:
    """Marks behind a method's name: lenient, and not matched with the nearest shift."""
    unmatched = f"unmatched, nearest {100 * line.unmatched:+z.1f} points" if line.unmatched is not None else ""
    return "".join(f" ({mark})" for mark in ("lenient" if line.lenient else "", unmatched) if mark)


def margin_words(setting: Mapping[str, Any], solved: Sequence[float | None] = ()) -> str:
    """How far a promise goes beyond the boundary; ``solved``: the logits of each teacher, where a share was asked."""
    if (share := setting.get("margin")) is None:
        return f"margin {setting['kappa']:g} logits"
    known = sorted(k for k in solved if k is not None)
    ends = dict.fromkeys(f"{k:.2g}" for k in (known[0], known[-1])) if known else ()
    logits = f" ({' to '.join(ends)} logits)" if ends else ""
    return f"margin of {100 * share:g} % more cost{logits}"


def verdict(line: Line, setting: Mapping[str, Any]) -> str:
    """The answer for one method and budget, in one sentence."""
    vd, drop, shift = line.measure("vd"), line.value("accuracy_drop"), line.value("approval_shift")
    if vd.mean is None or drop is None or shift is None:
        return f"{line.dataset}, {line.method} at {line.budget:g} bits: nobody with recourse to judge by."
    caution = f" It {line.leniency}: part of this validity is leniency." if line.lenient else ""
    caution += f" {unmatched}" if (unmatched := format_unmatched(line.unmatched)) else ""
    margin = margin_words({**setting, **line.setting})
    return (
        f"{line.dataset}, {line.method} at {line.budget:g} bits: accuracy {_falls(drop)}; {100 * vd.mean:.1f} in 100 "
        f"promised actions fail ({format_interval(vd, line.own)}; promise {margin}); approvals shift "
        f"by {100 * shift:+z.1f} points.{caution}"
    )


def _falls(drop: float) -> str:
    points = 100 * drop
    return "does not move" if abs(points) < 0.05 else f"{'falls' if points > 0 else 'rises'} {abs(points):.1f} points"


def about_own(plan: Mapping[str, Any]) -> str:
    """Whose teacher a study has, where it was not trained here; else empty."""
    own = plan.get("teacher")
    if not own:
        return ""
    if (pair := pair_of(plan)) is not None:
        rows = "people it was not trained on" if own.get("unseen") else "people it may have been trained on"
        return (
            f"One teacher, {pair['teacher']['file']}, and one student, {pair['student']['file']}, as files; on {rows}."
        )
    name = str(own["path"]).replace("\\", "/").rsplit("/", 1)[-1]
    judged = (
        "The card's own split keeps the people it is judged on apart."
        if own.get("unseen")
        else "It may have been trained on people whom it is judged on here."
    )
    return f"One teacher: {name}. Seeds vary calibration, training and people, not the teacher. {judged}"


def format_interval(m: OverSeeds, own: bool = False) -> str:
    """A share's spread and interval in points, and whose: ``± 4.4 over 10 seeds; 95 %, Student's t, 3.6 to 9.9``."""
    if m.sd is None or m.low is None or m.high is None:
        return f"one seed, {m.people:,} people, so no claim"
    seeds = f"{m.seeds} seeds{' of one teacher' if own else ''}"
    return f"± {100 * m.sd:.1f} over {seeds}; 95 %, Student's t, {100 * m.low:.1f} to {100 * m.high:.1f}"


def format_mean(measure: OverSeeds, scale: float = 1.0, digits: int = 3) -> str:
    """``0.120 ± 0.031``; a dash where nothing is defined."""
    if measure.mean is None or math.isnan(measure.mean):
        return "-"
    spread = f" ± {scale * measure.sd:.{digits}f}" if measure.sd is not None else ""
    low, high = (f"{scale * side:z.{digits}f}" for side in measure.tied or (0.0, 0.0))
    return f"{scale * measure.mean:z.{digits}f}{spread}{f' ({low} to {high})' if low != high else ''}"


# ---------------------------------------------------------------------- what probes read
#: Stands for a method where a probe read the teachers themselves.
TEACHER = "teacher"


@dataclass(frozen=True)
class ProbeLine:
    """One measure of all seeds of one model under one condition."""

    dataset: str
    method: str  # "teacher": read of the teachers themselves
    budget: float | None  # None of teachers
    probe: str
    series: str
    at: float
    label: str
    measure: str
    over: OverSeeds
    setting: dict[str, Any]  # as of `Line`


def probe_names(store: Store, study: str) -> tuple[str, ...]:
    """Probes that a study's plan names; older plans name none."""
    return tuple(store.study(study)["plan"].get("probes", ()))


def readings(store: Store, owner: str, probe: str) -> list[ProbeResult]:
    """What a probe read of a teacher or run; empty where it has not (yet)."""
    name = artifact(probe)
    return of_arrays(store.arrays(owner, name)) if store.has_artifact(owner, name) else []


def probe_lines(store: Store, study: str) -> list[ProbeLine]:
    """One line a (probe, data set, setting, model, condition, measure), teachers first, in the order they were read."""
    gathered: dict[tuple[Any, ...], dict[int, Any]] = {}
    for key, seed, r in _every(store, study):
        gathered.setdefault((*key, r.series, r.at, r.label, r.measure), {})[seed] = vars(r.result)
    keys = varied(store.study(study)["plan"])
    out = []
    for (probe, dataset, values, method, budget, series, at, label, measure), found in gathered.items():
        setting = dict(zip(keys, values, strict=True))
        out.append(
            ProbeLine(dataset, method, budget, probe, series, at, label, measure, over_seeds(found, is_share(measure)),
                      setting)
        )  # fmt: skip
    return out


def _readings_as_plain(store: Store, owner: str, probes: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    """Readings of one teacher or run for ``--json``."""
    return {
        p: [
            {"series": r.series, "at": r.at, "label": r.label, "measure": r.measure, "value": r.result.value,
             "low": r.result.low, "high": r.result.high, "count": r.result.count}
            for r in readings(store, owner, p)
        ]
        for p in probes
    }  # fmt: skip


def probe_tables(store: Store, study: str) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Each probe's name, the head of its table, and a row a (model, condition) with ``mean ± sd`` over seeds."""
    found, keys = probe_lines(store, study), varied(store.study(study)["plan"])
    for probe in probe_names(store, study):
        mine = [x for x in found if x.probe == probe]
        measures = list(dict.fromkeys(x.measure for x in mine))
        rows: dict[tuple[str, ...], dict[str, str]] = {}
        for x in mine:
            budget = "" if x.budget is None else f"{x.budget:g}"
            apart = (format_setting(x.setting[k]) for k in keys)
            row = rows.setdefault((x.dataset, *apart, x.method, budget, x.series, x.label), {})
            row[x.measure] = format_mean(x.over)
        head = ["data set", *keys, "method", "bits", "series", "condition", *measures]
        yield probe, head, [[*about, *(row.get(m, "") for m in measures)] for about, row in rows.items()]


def _every(store: Store, study: str) -> Iterator[tuple[tuple[Any, ...], int, ProbeResult]]:
    """Every reading with what it is of and its seed: teachers before runs."""
    probes, keys = probe_names(store, study), varied(store.study(study)["plan"])

    def apart(spec: dict[str, Any]) -> tuple[Any, ...]:
        values = (value_of(spec["setting"], k) for k in keys)
        return tuple(format_setting(v) if isinstance(v, dict) else v for v in values)

    owners: list[tuple[Row, tuple[Any, ...]]] = []
    if probes:
        teachers = sorted(store.teachers(study), key=lambda t: t["created"])
        owners += [(t, (t["dataset"], apart(t["spec"]), TEACHER, None)) for t in teachers]
        owners += [
            (r, (r["dataset"], apart(r["spec"]["teacher"]), r["method"], r["budget"])) for r in store.runs(study)
        ]
    for probe in probes:
        for row, about in owners:
            yield from (((probe, *about), row["seed"], reading) for reading in readings(store, row["id"], probe))
