"""The least cost of one person's recourse as a mixed-integer program, solved by HiGHS.

A ReLU network over grid counts is exactly a big-M program (Fischetti and Jo 2018; for recourse: Ustun et
al. 2019; Parmentier and Vidal 2021): integers for the steps of every number up and down, one binary for every
other level, one binary for every ReLU whose sign is open. Pre-activation bounds are CROWN's (Zhang et al.
2018), each linear form maximised over the actions that the cost cutoff pays for.

HiGHS is not safe: it answers within a tolerance of 1e-6 and now and then calls a feasible program
infeasible. So every point is judged again by the network on whole counts, "infeasible" alone proves
nothing where a cheaper point is known, and that no action exists is proved by an upper bound of the logit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp
from scipy.sparse import coo_matrix

from cfq_core.tables.encode import Encoding

from .lattice import Network
from .legality import Rules, count

SLACK = 1e-3  # added to the cutoff, relative and absolute: HiGHS drops optima that lie on it
TOLERANCE = 1e-6  # HiGHS: feasibility and gap
CLOSE = 1e-5  # relative difference of cost and bound that counts as proved
RETRIES = 4  # times a point a hair short of the target is asked for again, a hair further on
OPTIMAL, LIMIT, INFEASIBLE = 0, 1, 2  # scipy's status codes

Status = Literal["proved", "unknown"]


@dataclass(frozen=True)
class Answer:
    """The best point known and how far it can be from the optimum; infinite cost where none is known."""

    cost: float
    after: np.ndarray | None
    lower: float  # no action costs less; infinite: none exists
    status: Status


@dataclass(frozen=True)
class _Move:
    """One non-negative variable: a number's steps one way, or one other level of a category."""

    feature: int
    price: float  # a step, or the switch
    most: int
    sign: int = 0  # of a number
    level: int = -1  # of a category


@dataclass(frozen=True)
class Person:
    """One person's program: ``logit = rest(first + shift @ u)`` at cost ``price @ u``."""

    network: Network
    encoding: Encoding
    own: np.ndarray
    moves: tuple[_Move, ...]
    first: np.ndarray  # [h] the pre-activation of the person as they are
    shift: np.ndarray  # [h, u] what one unit of a move adds

    @staticmethod
    def of(network: Network, encoding: Encoding, rules: Rules, person: pd.Series) -> Person:
        """The program of one raw row; numbers modelled as logarithms are not linear in their counts."""
        features = encoding.schema.features
        own = np.array([count(f, person[f.name]) for f in features], np.int64)
        moves: list[_Move] = []
        for i, f in enumerate(features):
            counts = rules.choices(f, person[f.name])
            prices = rules.price(f, person[f.name], counts)
            if f.kind == "category":
                moves += [_Move(i, p, 1, level=k) for k, p in zip(counts[1:], prices[1:], strict=True)]
                continue
            assert len(counts) == 1 or not f.log, f"{f.name} is modelled as a logarithm: not a linear program"
            assert len(counts) == max(counts) - min(counts) + 1, f"{f.name} has levels nobody moves to: no interval"
            for sign in (1, -1):
                far = max((sign * (k - own[i]) for k in counts), default=0)
                if far > 0:
                    moves.append(_Move(i, float(max(prices)) / max(abs(k - own[i]) for k in counts), int(far), sign))
        rows = np.repeat(own[None], len(moves) + 1, axis=0)
        for row, move in zip(rows[1:], moves, strict=True):
            row[move.feature] = move.level if move.level >= 0 else row[move.feature] + move.sign * move.most
        seen = encoding.encode(rows) @ network.weights[0].T
        most = np.array([m.most for m in moves]) if moves else np.ones(0)
        shift = (seen[1:] - seen[0]).T / most
        return Person(network, encoding, own, tuple(moves), seen[0] + network.biases[0], shift)

    @cached_property
    def price(self) -> np.ndarray:
        """Cost of a unit of every move."""
        return np.array([m.price for m in self.moves])

    def after(self, units: np.ndarray) -> np.ndarray:
        """The person in exact integer form after so many whole units of each move."""
        out = self.own.copy()
        for move, n in zip(self.moves, np.rint(units).astype(int), strict=True):
            if n and move.level >= 0:
                out[move.feature] = move.level
            elif n:
                out[move.feature] += move.sign * n
        return out

    def judged(self, units: np.ndarray) -> tuple[float, float]:
        """Logit and cost of a point, on whole units and by the network itself."""
        logit = self.network.logits(self.encoding, self.after(units)[None])[0]
        return float(logit), float(self.price @ np.rint(units))


# ---------------------------------------------------------------------- bounds of the pre-activations


@dataclass(frozen=True)
class Ball:
    """The moves that a budget pays for; linear forms are maximised over it (a fractional knapsack)."""

    price: np.ndarray
    most: np.ndarray
    groups: tuple[np.ndarray, ...]  # moves of which only one can be made: a category's levels, a number's two ways
    budget: float

    @staticmethod
    def of(person: Person, budget: float) -> Ball:
        """The ball of one person."""
        features = np.array([m.feature for m in person.moves], int)
        groups = tuple(np.flatnonzero(features == i) for i in np.unique(features))
        most = np.array([m.most for m in person.moves], float)
        if math.isfinite(budget):
            most = np.minimum(most, np.floor(budget / person.price + 1e-9))
        return Ball(person.price, most, groups, budget)

    def highest(self, forms: np.ndarray) -> np.ndarray:
        """An upper bound of every row's ``form @ u`` over the ball."""
        gain = np.maximum(forms * self.most, 0.0)
        best = np.stack([gain[:, g].max(1) for g in self.groups], axis=1) if self.groups else np.zeros((len(forms), 0))
        if not math.isfinite(self.budget):
            return best.sum(1)
        ratio = np.maximum(forms, 0.0) / self.price
        steepest = np.stack([ratio[:, g].max(1) for g in self.groups], axis=1) if self.groups else best
        order = np.argsort(-steepest, axis=1)
        best, steepest = np.take_along_axis(best, order, 1), np.take_along_axis(steepest, order, 1)
        spent = best / np.maximum(steepest, 1e-300)
        left = np.maximum(self.budget - (np.cumsum(spent, axis=1) - spent), 0.0)
        return (np.minimum(spent, left) * steepest).sum(1)


def bounds(person: Person, ball: Ball) -> list[tuple[np.ndarray, np.ndarray]]:
    """Lower and upper bound of every hidden pre-activation and of the logit, layer by layer."""
    network = person.network
    known: list[tuple[np.ndarray, np.ndarray]] = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        form, constant = (weight, bias) if known else (np.eye(len(bias)), np.zeros(len(bias)))
        high = _crown(person, ball, known, form, constant)
        low = -_crown(person, ball, known, -form, -constant)
        if known:  # interval arithmetic is sometimes tighter
            below, above = (np.maximum(b, 0.0) for b in known[-1])
            positive, negative = np.maximum(weight, 0.0), np.minimum(weight, 0.0)
            high = np.minimum(high, positive @ above + negative @ below + bias)
            low = np.maximum(low, positive @ below + negative @ above + bias)
        margin = TOLERANCE * (1 + np.maximum(np.abs(low), np.abs(high)))
        known.append((low - margin, high + margin))
    return known


def _crown(
    person: Person, ball: Ball, known: Sequence[tuple[np.ndarray, np.ndarray]], form: np.ndarray, constant: np.ndarray
) -> np.ndarray:
    """Upper bounds of ``form @ relu(last known layer) + constant``; of the first pre-activation where none is known."""
    for depth in range(len(known) - 1, -1, -1):
        low, high = known[depth]
        open_ = (low < 0) & (high > 0)
        above = np.where(open_, high / np.where(open_, high - low, 1.0), low >= 0)
        below = np.where(open_, high > -low, low >= 0)
        positive, negative = np.maximum(form, 0.0), np.minimum(form, 0.0)
        constant = constant + positive @ np.where(open_, -low * above, 0.0)
        form = positive * above + negative * below
        if depth:
            constant = constant + form @ person.network.biases[depth]
            form = form @ person.network.weights[depth]
    return form @ person.first + constant + ball.highest(form @ person.shift)


# ---------------------------------------------------------------------- the program


class Program:
    """Columns and rows of one person's program, target and objective left open."""

    def __init__(self, person: Person, ball: Ball) -> None:
        self.person = person
        self.lower, self.upper, self.whole = [0.0] * len(person.moves), list(ball.most), [1] * len(person.moves)
        self.rows: list[tuple[list[int], list[float], float, float]] = []
        for group in ball.groups:
            if person.moves[group[0]].level >= 0 and len(group) > 1:
                self.rows.append((list(group), [1.0] * len(group), 0.0, 1.0))
        self.rows.append((list(range(len(person.moves))), list(person.price), -np.inf, ball.budget))
        self.bounds = bounds(person, ball)
        self.output = self._layers()

    def _column(self, low: float, high: float, whole: bool) -> int:
        self.lower.append(low)
        self.upper.append(high)
        self.whole.append(int(whole))
        return len(self.lower) - 1

    def _layers(self) -> tuple[list[int], list[float], float]:
        """Adds every hidden layer; the logit's terms over the last one."""
        network = self.person.network
        inputs, weight, bias = list(range(len(self.person.moves))), self.person.shift, self.person.first
        for depth, (low, high) in enumerate(self.bounds[:-1]):
            alive, outputs = [], []
            for n in range(len(low)):
                if high[n] > 0:
                    alive.append(n)
                    outputs.append(self._relu(inputs, weight[n], bias[n], low[n], high[n]))
            inputs, weight, bias = outputs, network.weights[depth + 1][:, alive], network.biases[depth + 1]
        return inputs, list(weight[0]), float(bias[0])

    def _relu(self, inputs: list[int], weight: np.ndarray, bias: float, low: float, high: float) -> int:
        """A column for ``max(weight @ inputs + bias, 0)``."""
        out = self._column(max(low, 0.0), high, False)
        columns, terms = [*inputs, out], [*-weight, 1.0]
        if low >= 0:
            self.rows.append((columns, terms, bias, bias))
            return out
        active = self._column(0.0, 1.0, True)
        self.rows.append((columns, terms, bias, np.inf))
        self.rows.append(([*columns, active], [*terms, -low], -np.inf, bias - low))
        self.rows.append(([out, active], [1.0, -high], -np.inf, 0.0))
        return out

    def solve(self, objective: np.ndarray, seconds: float, target: float | None = None) -> OptimizeResult:
        """HiGHS on this program; ``target`` in logits."""
        rows = list(self.rows)
        if target is not None:
            columns, terms, bias = self.output
            rows.append((columns, terms, target - bias, np.inf))
        at = np.repeat(np.arange(len(rows)), [len(r[0]) for r in rows])
        column, value = (np.concatenate([r[k] for r in rows]) for k in (0, 1))
        matrix = coo_matrix((value, (at, column.astype(int))), shape=(len(rows), len(self.lower))).tocsc()
        return milp(
            np.concatenate([objective, np.zeros(len(self.lower) - len(objective))]),
            constraints=LinearConstraint(matrix, [r[2] for r in rows], [r[3] for r in rows]),
            bounds=Bounds(self.lower, self.upper),
            integrality=self.whole,
            options={"time_limit": seconds, "mip_rel_gap": TOLERANCE},
        )


def least_cost(person: Person, target: float, cutoff: float = math.inf, seconds: float = 60.0) -> Answer:
    """The cheapest valid point; with a ``cutoff``, the cost of a point that is known, only cheaper ones or its equals.

    ``seconds`` bounds each call of HiGHS.
    """
    nowhere = np.zeros(len(person.moves))
    logit, _ = person.judged(nowhere)
    if logit >= target:
        return Answer(0.0, person.own.copy(), 0.0, "proved")
    if not person.moves:
        return Answer(math.inf, None, math.inf, "proved")
    if math.isinf(cutoff):
        highest = highest_logit(person, seconds, target)
        if highest.logit < target:
            none = highest.bound < target
            return Answer(math.inf, None, math.inf if none else 0.0, "proved" if none else "unknown")
        _, cutoff = person.judged(highest.units)
    program = Program(person, Ball.of(person, cutoff * (1 + SLACK) + SLACK))
    return _tightened(program, target, seconds)


def _tightened(program: Program, target: float, seconds: float) -> Answer:
    """Solves; where HiGHS's point is a tolerance short of the target, asks for that much more."""
    person, asked, lower = program.person, target, 0.0
    for attempt in range(RETRIES):
        found = program.solve(person.price, seconds, asked)
        if attempt == 0:
            lower = _dual_bound(found)
        if found.x is None:
            break
        units = found.x[: len(person.moves)]
        logit, cost = person.judged(units)
        if logit >= target:
            proved = found.status == OPTIMAL and cost <= lower + CLOSE * max(1.0, cost)
            return Answer(cost, person.after(units), lower, "proved" if proved else "unknown")
        asked += 2 * (target - logit) + TOLERANCE
    return Answer(math.inf, None, lower, "unknown")


@dataclass(frozen=True)
class Highest:
    """The highest logit found and an upper bound of all."""

    logit: float
    bound: float
    units: np.ndarray


def highest_logit(person: Person, seconds: float, enough: float = math.inf) -> Highest:
    """The most a person can reach by any action: below the target, none exists.

    A program without a target cannot be called infeasible by mistake.
    """
    program = Program(person, Ball.of(person, math.inf))
    top = float(program.bounds[-1][1][0])
    if top < enough and math.isfinite(enough):
        return Highest(person.judged(np.zeros(len(person.moves)))[0], top, np.zeros(len(person.moves)))
    columns, terms, bias = program.output
    objective = np.zeros(len(program.lower))
    objective[columns] = -np.array(terms)
    found = program.solve(objective, seconds)
    units = found.x[: len(person.moves)] if found.x is not None else np.zeros(len(person.moves))
    dual = _dual_bound(found)
    return Highest(person.judged(units)[0], min(top, bias - dual + TOLERANCE), units)


def _dual_bound(found: OptimizeResult) -> float:
    """What HiGHS proves no solution can beat; minus infinity where it proves nothing."""
    bound = getattr(found, "mip_dual_bound", None)
    return float(bound) if bound is not None and found.status in (OPTIMAL, LIMIT) else -math.inf
