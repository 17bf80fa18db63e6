"""`cfq.study(...)`: run what is missing of a study and give it as frames, pictures, people and answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from cfq_core.api.stored import Study
from cfq_core.api.tables import dataset_of
from cfq_core.base.door import path_of, shown
from cfq_core.base.errors import BadInput
from cfq_core.base.place import store_place
from cfq_core.models.contract import Contract
from cfq_core.report.frames import Stored
from cfq_core.study.plan import Plan, read_plan, table_of
from cfq_core.study.runner import Progress, run_plan
from cfq_core.study.store import FILE, Store

WHERE = "study"  # what messages call the caller


def study(
    data: Any,
    card: Any = None,
    methods: str | Sequence[str] = ("ptq",),
    bits: float | Sequence[float] = (2, 3, 4, 8),
    seeds: int | Sequence[int] = 5,
    teacher: Any = None,
    store: str | Path | None = None,
    *,
    name: str = "",
    kappa: float | Sequence[float] | None = None,
    margin: str | None = None,
    people: int | str = 2000,
    hidden: Sequence[int] | None = None,
    activation: str | None = None,
    residual: bool | None = None,
    activation_bits: int = 8,
    regime: str | Sequence[str] = "default",
    recourse: str | Sequence[str] = "search",
    threshold: float | None = None,
    approve: str | None = None,
    probes: Sequence[str] = (),
    workers: int | None = None,
    progress: bool = True,
) -> Study:
    """Train teachers (or take yours), promise recourse, quantize, and see which promises survive.

    What is stored is not run again: the same call gives the same study at once, and a call that was stopped (Ctrl-C, a
    restarted kernel) goes on where it was.

    Args:
        data: a DataFrame, the path of a table, the path of a card, or the name of a data set.
        card: what the columns mean: the path of a card, a dict with its keys, or a draft. None: ``data`` says it.
        methods: names, or "all"; see `cfq parts`.
        bits: budgets, average bits per weight, from 2 to 8.
        seeds: how many, or a list of them. An interval needs at least two.
        teacher: a model of your own instead of trained ones: the path of an ONNX file, a dict with its ``path`` and how
            it is read, a torch module, a fitted scikit-learn model, or what `own_teacher` gave.
        store: folder of results; None: CFQ_STORE, else ./.cfq.
        name: of the study, in lists of them.
        kappa: the promise's margin in logits (0.2); several make a study over settings, as of ``regime``, ``recourse``.
        margin: instead, by how much it may raise the mean cost of recourse: "cost:10%".
        people: denied test people a seed, or "all".
        hidden: widths of the trained teachers' layers (64, 64, 32); (): a logistic regression.
        activation: of those layers, such as "silu".
        residual: whether a layer as wide as the one before adds that one's output.
        activation_bits: of the students: 8, 6 or 4.
        regime: who may change what: any, immutable, default or strict.
        recourse: solver, such as "search", "exact" or "pgd:5".
        threshold: probability above which a trained teacher approves.
        approve: instead, the share of people whom it approves, such as "30%".
        probes: further questions to ask of the same runs.
        workers: processes; None: one a core where the work is long, 0: this process alone.
        progress: whether a bar is shown.

    Returns:
        The stored study. Its frames, pictures and answers are those of the report and the dashboard.

    Raises:
        BadInput: in one line, before anything runs.
    """
    folder = store_place(None if store is None else path_of(store, WHERE, "store"))
    dataset = dataset_of(data, card, folder)
    given: dict[str, Any] = {
        "datasets": [dataset], "methods": _list(methods), "bits": _list(bits),
        "seeds": _seeds(seeds), "name": name, "kappa": None if kappa is None else _list(kappa),
        "people": people, "regime": _list(regime),
        "recourse": _list(recourse), "activation_bits": activation_bits, "probes": _list(probes),
        "hidden": None if hidden is None else _list(hidden), "activation": activation, "residual": residual,
        "threshold": threshold, "approve": approve, "margin": margin,
    }  # fmt: skip
    plan, own = _with_teacher({k: v for k, v in given.items() if v not in (None, [], "") or k == "hidden"}, teacher)
    return run(plan, folder, workers, progress, own)


def run(plan: Plan, folder: Path, workers: int | None = None, progress: bool = True, own: Any = None) -> Study:
    """Run what is missing of a plan and give the study; an interrupt leaves a store that goes on."""
    with closing(Store(folder)) as store, _bar(progress) as tell:
        try:
            found = run_plan(plan, store, workers, tell, own=own, announce=_announce if progress else None)
        except KeyboardInterrupt as stopped:
            stopped.add_note(f"stopped; finished runs are stored in {folder}, the same call goes on")
            raise
        return _study(store, found)


def open_study(id: str = "latest", store: str | Path | None = None) -> Study:
    """A study that is stored already, by id, by the start of one, or the latest; raises `BadInput` or `UnknownName`."""
    folder = store_place(None if store is None else path_of(store, "open_study", "store"))
    if not (folder / FILE).is_file():
        raise BadInput(f"open_study: {folder}: no store here; cfq.study(..., store=FOLDER) makes one")
    with closing(Store.for_reading(folder)) as opened:
        return _study(opened, opened.study(id)["id"])


def _study(store: Store, id: str) -> Study:
    return Study(Stored(str(store.folder), id, store.study(id)["finished"]))


def _with_teacher(given: dict[str, Any], teacher: Any) -> tuple[Plan, Any]:
    """The plan, and the own teacher where it is an object: a file is read again when the plan is run."""
    given = {k: v for k, v in given.items() if v is not None}
    if teacher is None:
        return read_plan(given, WHERE), None
    if isinstance(teacher, str | Path):
        teacher = {"path": teacher}
    if isinstance(teacher, Mapping):
        path = path_of(teacher.get("path"), WHERE, "the path of teacher").absolute()
        return read_plan({**given, "teacher": {**teacher, "path": str(path)}}, WHERE), None
    from cfq_core.models.objects import teacher_from

    own = teacher_from(teacher, table_of(given["datasets"][0]))
    said: Contract = own.spec.contract
    fields = {k: v for k, v in vars(said).items() if v not in ("", None)}
    return read_plan({**given, "teacher": {"path": own.name, **fields}}, WHERE), own


def _list(value: Any) -> list[Any]:
    """One value, or several of any kind that can be gone through, as plain values."""
    if isinstance(value, str | int | float | np.generic):
        value = [value]
    try:
        return [v.item() if isinstance(v, np.generic) else v for v in value]
    except TypeError:
        raise BadInput(f"{WHERE}: {shown(value)} where a list, or one value, is needed") from None


def _seeds(value: Any) -> Any:
    return int(value) if isinstance(value, int | np.integer) and not isinstance(value, bool) else _list(value)


def _announce(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


@contextmanager
def _bar(wanted: bool) -> Iterator[Progress | None]:
    """Progress as a bar, in a notebook as a widget where it has them; none before the plan has proved readable."""
    if not wanted or os.environ.get("TQDM_DISABLE"):
        yield None
        return
    bars: list[Any] = []

    def tell(done: int, total: int, what: str) -> None:
        if not bars:
            bars.append(tqdm(total=1, ncols=None, bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}]"))
        bars[0].total, bars[0].n = max(total, 1), done if total else 1
        bars[0].set_description(what)

    try:
        yield tell
    finally:
        for bar in bars:
            bar.close()
