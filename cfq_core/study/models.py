"""Stored arrays as the models they were, and a stored promise searched for anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Any, cast

import numpy as np
import torch

from cfq_core.base import plugins
from cfq_core.base.errors import BadInput, BadStore
from cfq_core.base.identity import described
from cfq_core.base.seeds import repeatable
from cfq_core.nets.layers import Codes, restored, stored
from cfq_core.nets.stack import Scorer, Stack
from cfq_core.quant.quantized import QuantStack
from cfq_core.recourse.branch import Known
from cfq_core.recourse.exact import Exact, Followed
from cfq_core.recourse.find import Solver, find_recourse
from cfq_core.recourse.outcome import Recourse
from cfq_core.recourse.problem import RecourseQuery

#: `repeatable` seeds what all threads of a process share; a server's sessions ask in threads of their own.
ONE_AT_A_TIME = Lock()
IN_ITS_FILE = "this study is an audit of files: its model is no list of layers, so only what was asked of it is stored"
NOT_MADE_HERE = "this run is of a file that was not quantized here, so there are no integers of it"
YIELD = 0.0005  # seconds in which somebody who waits for it gets it

Heard = Callable[[float, float], None]


def student_of(arrays: Mapping[str, np.ndarray]) -> QuantStack:
    """The integers and steps of a run, as they were audited (R = 1)."""

    if "codes.0" not in arrays:
        raise BadInput(NOT_MADE_HERE if arrays else IN_ITS_FILE)

    def each(kind: str) -> tuple[torch.Tensor, ...]:
        found = (torch.tensor(arrays[name]).double() for name in _listed(arrays, kind))
        return tuple(t if kind in ("input_step", "total_step", "branch_step") else t[None] for t in found)

    layers, bits = restored(arrays)
    activations = Codes(bits, each("total_step"), each("branch_step"), each("table"))
    weights, biases, steps, inputs = (each(k) for k in ("codes", "bias_codes", "weight_steps", "input_step"))
    return QuantStack(weights, biases, steps, inputs, layers, activations)


def arrays_of_student(student: QuantStack) -> dict[str, np.ndarray]:
    """The integers and steps of a run (R = 1), as they are stored."""
    of = student.activations
    parts: tuple[tuple[str, tuple[torch.Tensor, ...], Any], ...] = (
        ("codes", student.weights, np.int8), ("bias_codes", student.biases, np.int32),
        ("weight_steps", student.weight_steps, np.float32), ("input_step", student.input_steps, np.float32),
        ("total_step", of.total_steps, np.float32), ("branch_step", of.branch_steps, np.float32),
        ("table", of.tables, np.int16),
    )  # fmt: skip
    out = stored(student.architecture, of.bits)
    for kind, tensors, dtype in parts:
        for i, t in enumerate(tensors):
            out[f"{kind}.{i}"] = (t if t.dim() == 1 else t[0]).numpy().astype(dtype)
    return out


def arrays_of_teacher(teacher: Stack) -> dict[str, np.ndarray]:
    """The parameters of a teacher (R = 1), as they are stored."""
    out = stored(teacher.architecture)
    for kind in ("weights", "biases"):
        out |= {f"{kind}.{i}": t.numpy() for i, t in enumerate(getattr(teacher, kind))}
    return out


def teacher_of(arrays: Mapping[str, np.ndarray]) -> Stack:
    """A stored teacher (R = 1); raises `BadInput` where it is in its own file alone."""
    if not arrays:
        raise BadInput(IN_ITS_FILE)
    weights, biases = (tuple(torch.tensor(arrays[k]) for k in _listed(arrays, kind)) for kind in ("weights", "biases"))
    return Stack(weights, biases, restored(arrays)[0])


def arrays_of(model: Scorer) -> dict[str, np.ndarray]:
    """A teacher or student as it is stored; nothing of a model that is only computed by the runtime of its file."""
    if isinstance(model, QuantStack):
        return arrays_of_student(model)
    return arrays_of_teacher(model) if isinstance(model, Stack) else {}


def _listed(arrays: Mapping[str, np.ndarray], kind: str) -> list[str]:
    """Names of one kind of array, layer by layer."""
    return [f"{kind}.{i}" for i in range(sum(name.startswith(f"{kind}.") for name in arrays))]


def solver_of(setting: Mapping[str, Any]) -> Solver:
    """The solver that a stored setting names; raises `BadStore` where this version's is another one."""
    name = str(setting["solver"]["kind"]).lower()
    solver: Solver = plugins.load("recourse", name)
    for chosen in ("steps", "seconds"):  # the settings of solvers that a plan chooses
        if isinstance(value := setting["solver"].get(chosen), int | float) and hasattr(solver, chosen):
            solver = replace(cast(Any, solver), **{chosen: value})
    if not _holds(_lower(described(solver)), _lower(setting["solver"])):
        raise BadStore(f"the study's recourse solver \"{name}\" had other settings than this version's")
    return solver


def _holds(ours: Any, told: Any) -> bool:
    """Whether a stored description is ours; it lacks fields that came later, whose defaults change nothing."""
    if isinstance(ours, dict) and isinstance(told, dict):
        return told.keys() <= ours.keys() and all(_holds(ours[key], value) for key, value in told.items())
    return bool(ours == told)


def _lower(solver: Any) -> Any:
    """Kinds in small letters: older stores name them as classes are."""
    if isinstance(solver, dict):
        return {k: str(v).lower() if k == "kind" else _lower(v) for k, v in solver.items()}
    return [_lower(v) for v in solver] if isinstance(solver, list | tuple) else solver


def model_of(arrays: Mapping[str, np.ndarray]) -> Scorer:
    """A stored teacher or student, by its weights; raises `BadInput` where it is in its own file alone."""
    if not arrays:
        raise BadInput(IN_ITS_FILE)
    return student_of(arrays) if "codes.0" in arrays else teacher_of(arrays)


def proved(
    arrays: Mapping[str, np.ndarray], ask: RecourseQuery, kappa: float, limit: int | float, tell: Heard | None = None
) -> Recourse:
    """The cheapest there is on a stored teacher or student, with its proof.

    ``limit``: boxes a person, or CPU seconds where it is a float. ``tell`` hears of one person's proof what is known of
    it so far: cost and lower bound; whoever else waits for this process's models is let in then.
    """
    solver = Exact(seconds=limit) if isinstance(limit, float) else Exact(boxes=limit)

    def told(known: Known) -> None:
        if tell is not None:
            tell(float(known.cost[0]), float(known.lower[0]))
        ONE_AT_A_TIME.release()  # the others change the same settings to the same values, and draw from streams anew
        time.sleep(YIELD)
        ONE_AT_A_TIME.acquire()

    with ONE_AT_A_TIME, repeatable():
        return find_recourse(model_of(arrays), [ask], Followed(solver, told) if tell else solver, kappa)


def searched(
    arrays: Mapping[str, np.ndarray], ask: RecourseQuery, setting: Mapping[str, Any], kappa: float
) -> Recourse:
    """What a stored teacher or student (by its weights) tells some people, under a stored setting and a margin."""
    with ONE_AT_A_TIME, repeatable():
        return find_recourse(model_of(arrays), [ask], solver_of(setting), kappa)
