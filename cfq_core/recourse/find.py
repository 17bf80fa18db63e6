"""The public call: any solver's points, re-judged in float64 on the decoded person.

What a solver returns is decoded to exact integer form, checked against the action set and scored by
the model in float64; only what stands is an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.nets.stack import Scorer, score
from cfq_core.recourse.outcome import Recourse, Why
from cfq_core.recourse.problem import Points, Problem, RecourseQuery, build_problem, by_run, decoded
from cfq_core.tables.encode import Encoding, Values

#: Logits beyond kappa that a solver aims at in float32; the second is for the few points the first
#: leaves a rounding error short.
SLACK = (1e-5, 1e-3)

#: Relative difference of cost that is not looked for: proved means cheapest up to this.
CLOSE = 1e-7

#: People searched for at a time. Their answers do not depend on who else is in the block.
INSTANCES = 1000

#: Rows scored at a time in float64: more would hold nothing but memory.
ROWS_AT_ONCE = 16_384
KERNEL = 192  # of which a part is a multiple, so that no row's bits depend on the part it is in

#: A favourable logit is strictly positive, so a promise with kappa = 0 still asks for this much.
POSITIVE = 1e-9


@runtime_checkable
class Solver(Protocol):
    """A way to look for recourse."""

    def best(self, problem: Problem, feasible: Bool[Tensor, "i"]) -> Points:
        """The cheapest point found of every instance; its own place where none was."""
        ...


@dataclass(frozen=True)
class Proof:
    """Points, and what is proved of every instance: with a point that costs no more, that it is the cheapest."""

    points: Points
    lower: Float[Tensor, "i"]  # no valid action costs less; infinite: there is none


@runtime_checkable
class Prover(Protocol):
    """A solver that proves its answers."""

    def best(self, problem: Problem, feasible: Bool[Tensor, "i"]) -> Points:
        """As of any solver."""
        ...

    def prove(self, problem: Problem, feasible: Bool[Tensor, "i"]) -> Proof:
        """Cheapest points with proof; the problem is in float64 and its target the promise itself, without slack."""
        ...


def find_recourse(
    model: Scorer,
    queries: Sequence[RecourseQuery],
    solver: Solver,
    kappa: float = 0.2,
    approves: Sequence[bool] | None = None,
) -> Recourse:
    """Least-cost actions of everybody in ``queries`` (``queries[r]`` ask run r) with logit >= kappa.

    ``approves[r]``: whether run r approves anybody in the reference rows; it only names the reason where
    nothing is found. ``kappa`` in logits. No answer costs more than a known row of a query that reaches the margin;
    a solver without ``STARTS`` is not shown known rows, and its answers may.
    """
    target = max(kappa, POSITIVE)
    starts = getattr(solver, "STARTS", False)
    queries = [_judged(model, r, a, target) if starts else replace(a, known=None) for r, a in enumerate(queries)]
    run = np.repeat(np.arange(len(queries)), [len(a.values) for a in queries])
    before = np.concatenate([a.values for a in queries])
    tried = _attempt(model, queries, solver, target, SLACK[0])
    after, lower = tried.after, tried.lower
    margin = _judge(model, queries, run, after)
    short = (margin < target) & (after != before).any(1)
    if short.any():
        few = [a.take(short[run == r]) for r, a in enumerate(queries)]
        after[short] = _attempt(model, few, solver, target, SLACK[1]).after
        margin = _judge(model, queries, run, after)
    found = (margin >= target) & _per_run(queries, run, lambda a, mine: a.actions.legal(before[mine], after[mine]))
    after[~found] = before[~found]
    cost = np.where(found, _per_run(queries, run, lambda a, mine: a.actions.cost(before[mine], after[mine])), np.inf)
    known = _known(queries)
    cheaper = known.cost < cost
    if cheaper.any():
        after[cheaper], cost[cheaper] = known.after[cheaper], known.cost[cheaper]
        found |= cheaper
        margin = _judge(model, queries, run, after)
    never = ~np.asarray(approves, bool)[run] if approves is not None else np.zeros(len(run), bool)
    nothing = np.where(np.isinf(lower), Why.NO_ACTION, np.where(never, Why.NEVER_APPROVES, Why.BUDGET))
    return Recourse(
        run, before, after, cost, np.where(found, margin, np.nan), np.where(found, Why.FOUND, nothing),
        np.minimum(lower, cost), lower >= cost * (1 - CLOSE),
    )  # fmt: skip


def _judged(model: Scorer, run: int, ask: RecourseQuery, target: float) -> RecourseQuery:
    """The same question with what its known rows are worth on this model; rows that nobody may go to are forgotten."""
    if ask.known is None:
        return ask
    legal = ask.actions.legal(ask.values, ask.known)
    known = np.where(legal[:, None], ask.known, ask.values)
    return replace(ask, known=known, holds=legal & (logits64(model, run, ask.encoding, known) >= target))


@dataclass(frozen=True)
class _Known:
    """Rows known before the search, and the least a person who has one needs to pay; infinite where it is no answer."""

    after: Values
    cost: Float[np.ndarray, "i"]


def _known(queries: Sequence[RecourseQuery]) -> _Known:
    rows = [a.values if a.holds is None or a.known is None else a.known for a in queries]
    holds = [np.zeros(len(a.values), bool) if a.holds is None else a.holds for a in queries]
    paid = [a.actions.cost(a.values, known) for a, known in zip(queries, rows, strict=True)]
    return _Known(np.concatenate(rows), np.where(np.concatenate(holds), np.concatenate(paid), np.inf))


def logits64(model: Scorer, run: int, encoding: Encoding, values: Values) -> Float[np.ndarray, "n"]:
    """Logits of one run for people in exact integer form, in float64: what every decision rests on."""
    one = model.take([run]).to(torch.float64)
    pieces = max(1, -(-len(values) // ROWS_AT_ONCE))
    size = -(-len(values) // (pieces * KERNEL)) * KERNEL  # few rows take another kernel, which rounds otherwise
    parts = (values[i : i + size] for i in range(0, max(1, len(values)), max(1, size)))
    each = (torch.tensor(encoding.encode(part), dtype=torch.float64)[None] for part in parts)
    return np.concatenate([score(one, inputs)[0].numpy() for inputs in each])


@dataclass(frozen=True)
class _Tried:
    after: Values
    lower: Float[np.ndarray, "i"]


def _attempt(model: Scorer, queries: Sequence[RecourseQuery], solver: Solver, target: float, slack: float) -> _Tried:
    after, lower = [], []
    for runs, few in _blocks(queries):
        if isinstance(solver, Prover):
            problem = build_problem(
                model.take(runs), few, target if slack == SLACK[0] else target + slack, torch.float64
            )
            proof = solver.prove(problem, _feasible(problem))
            points, least = proof.points, proof.lower
        else:
            problem = build_problem(model.take(runs), few, target + slack)
            feasible = _feasible(problem)
            points, least = solver.best(problem, feasible), torch.where(feasible, 0.0, torch.inf)
        after.append(decoded(problem, few, points))
        lower.append(least.double().numpy())
    return _Tried(np.concatenate(after), np.concatenate(lower))


def _blocks(queries: Sequence[RecourseQuery]) -> Iterator[tuple[list[int], list[RecourseQuery]]]:
    """The same queries in pieces of at most `INSTANCES` people, so that memory stays bounded."""
    runs: list[int] = []
    few: list[RecourseQuery] = []
    held = 0
    for run, ask in enumerate(queries):
        start = 0
        while start < len(ask.values) or not runs:
            part = ask.take(slice(start, start + INSTANCES - held))
            runs.append(run)
            few.append(part)
            start, held = start + len(part.values), held + len(part.values)
            if held == INSTANCES:
                yield runs, few
                runs, few, held = [], [], 0
            if start >= len(ask.values):
                break
    if runs:
        yield runs, few


def _judge(
    model: Scorer, queries: Sequence[RecourseQuery], run: Int[np.ndarray, "i"], after: Values
) -> Float[np.ndarray, "i"]:
    parts = [logits64(model, r, a.encoding, after[run == r]) for r, a in enumerate(queries)]
    return np.concatenate(parts)


def _per_run(
    queries: Sequence[RecourseQuery], run: Int[np.ndarray, "i"], of: Callable[[RecourseQuery, np.ndarray], np.ndarray]
) -> np.ndarray:
    return np.concatenate([of(a, run == r) for r, a in enumerate(queries)])


def _feasible(problem: Problem) -> Bool[Tensor, "i"]:
    """False where interval bounds prove that no action reaches the target, slack included, and none is known."""
    if not len(problem):
        return torch.zeros(0, dtype=torch.bool)
    low, high = first_box(problem)
    index, real = by_run(problem)
    reachable = problem.model.highest(low[index], high[index]) >= problem.target
    return reachable[real] | problem.holds


def first_box(problem: Problem) -> tuple[Float[Tensor, "i h"], Float[Tensor, "i h"]]:
    """The first pre-activations an instance can reach: numbers in their box, one allowed level a category."""
    low, high = problem.base.clone(), problem.base.clone()
    run = problem.run
    for j in range(problem.numbers):
        ends = []
        for bound in (problem.low, problem.high):
            ends.append(problem.seen(bound, run)[:, j, None] * problem.number_weight[run, j])
        low += torch.minimum(*ends)
        high += torch.maximum(*ends)
    for g in range(problem.groups):
        columns = problem.group == g
        weight = problem.switch_weight[:, columns][run]
        open_ = problem.allowed[:, columns][..., None]
        low += torch.where(open_, weight, torch.inf).amin(1)
        high += torch.where(open_, weight, -torch.inf).amax(1)
    return low, high
