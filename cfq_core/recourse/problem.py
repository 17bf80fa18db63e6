"""The search problem reduced to what a person can change.

Only actionable coordinates remain: each instance, a (model, person) pair, has one constant first
pre-activation, to which every moved number adds one column of the first layer and every switched
category one other. Instances of all models stand in one list, sorted by model, so a batch of
candidates is evaluated as a few batched products whatever mix of people and models it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.actions.action_set import ActionSet
from cfq_core.nets.stack import Scorer
from cfq_core.recourse.tied import Tied
from cfq_core.tables.encode import Encoding, Values

EVALUATIONS = 16_384  # candidates made at a time
AT_ONCE = 4096  # of them, scored at a time: their activations stay in the cache, a third faster than all together
ROUNDING = 1e-9  # guards a floor of a ratio that is a whole number up to float64 rounding


@dataclass(frozen=True)
class RecourseQuery:
    """The people who ask one model for recourse, and what they may do."""

    values: Values
    encoding: Encoding
    actions: ActionSet
    known: Values | None = None  # legal rows to start from, such as another model's answers; a person's own row: none
    settled: Bool[np.ndarray, "n"] | None = None  # which of them the solver found for a stricter demand of this model
    holds: Bool[np.ndarray, "n"] | None = None  # which of them reach the margin, in float64; filled by `find_recourse`

    def take(self, rows: np.ndarray | slice) -> RecourseQuery:
        """The same question of some of the people."""
        of_each = (None if a is None else a[rows] for a in (self.known, self.settled, self.holds))
        return RecourseQuery(self.values[rows], self.encoding, self.actions, *of_each)


@dataclass(frozen=True)
class Points:
    """Candidate people: grid counts of the movable numbers, level columns of the switchable categories."""

    numbers: Float[Tensor, "b p"]
    levels: Int[Tensor, "b g"]  # column of `Problem.switch_weight`, not level index

    def take(self, rows: Tensor) -> Points:
        """The chosen rows, listed or masked."""
        rows = listed(rows)
        return Points(self.numbers.index_select(0, rows), self.levels.index_select(0, rows))

    @staticmethod
    def join(parts: Sequence[Points]) -> Points:
        """All rows of several lists."""
        return Points(torch.cat([p.numbers for p in parts]), torch.cat([p.levels for p in parts]))


def listed(rows: Tensor) -> Int[Tensor, "n"]:
    """Row numbers of a mask; row numbers stay. `index_select` on them is three times as fast as indexing."""
    return rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows


@dataclass(frozen=True)
class Problem:
    """I instances over R models; p movable numbers, g switchable categories with Q level columns in all."""

    model: Scorer  # in the floating type of `base`: float32 for a search, float64 for a proof
    run: Int[Tensor, "i"]  # sorted
    base: Float[Tensor, "i h"]  # first pre-activation from everything that stays
    own: Points  # where each person is
    low: Float[Tensor, "i p"]  # reachable grid counts
    high: Float[Tensor, "i p"]
    allowed: Bool[Tensor, "i q"]
    number_weight: Float[Tensor, "r p h"]
    switch_weight: Float[Tensor, "r q h"]
    group: Int[Tensor, "q"]  # category of each level column
    slope: Float[Tensor, "r p"]  # encoded value = slope * modelled + offset
    offset: Float[Tensor, "r p"]
    step: Float[Tensor, "p"]  # raw units per grid count
    log: Bool[Tensor, "p"]
    number_price: Float[Tensor, "r p"]  # cost per modelled unit
    switch_price: Float[Tensor, "q"]
    target: float  # logit to reach
    known: Points  # where a search may start; their own places where nothing is known
    settled: Bool[Tensor, "i"]  # which of those the solver found for a stricter demand of the same model
    holds: Bool[Tensor, "i"]  # which of those are known to be answers: they reach the margin in float64
    tied: Tied | None = None  # what ties features together; the last numbers then follow from others

    def __len__(self) -> int:
        return len(self.run)

    @property
    def numbers(self) -> int:
        """Movable numbers p."""
        return self.low.shape[1]

    @property
    def groups(self) -> int:
        """Switchable categories g."""
        return self.own.levels.shape[1]

    @cached_property
    def has_log(self) -> bool:
        """Whether any number is modelled by its logarithm."""
        return bool(self.log.any())

    def take(self, rows: Int[Tensor, "n"]) -> Problem:
        """The problem of some instances, given in increasing order."""
        return replace(
            self, run=self.run[rows], base=self.base[rows], own=self.own.take(rows), low=self.low[rows],
            high=self.high[rows], allowed=self.allowed[rows],
            known=self.known.take(rows), settled=self.settled[rows], holds=self.holds[rows],
            tied=None if self.tied is None else self.tied.take(rows),
        )  # fmt: skip

    def to(self, dtype: torch.dtype) -> Problem:
        """The same problem computed in another floating type."""
        return replace(
            self, model=self.model.to(dtype), base=self.base.to(dtype), number_weight=self.number_weight.to(dtype),
            switch_weight=self.switch_weight.to(dtype),
        )  # fmt: skip

    # ------------------------------------------------------------------ candidates of listed instances
    def modelled(self, counts: Tensor, numbers: Tensor | slice = slice(None)) -> Tensor:
        """Modelled units of grid counts, log(1 + x) where the card says so; last axis: numbers."""
        raw = counts * self.step[numbers]
        return torch.where(self.log[numbers], torch.log1p(raw), raw) if self.has_log else raw

    def cost(self, points: Points, rows: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        """Cost of moving the listed instances to these points, float64."""
        moved = (self.modelled(points.numbers) - self.modelled(self.own.numbers[rows])).abs()
        total = (moved * self.number_price[self.run[rows]]).sum(1)
        switched = points.levels != self.own.levels[rows]
        return total + (self.switch_price[points.levels] * switched).sum(1)

    def seen(self, counts: Float[Tensor, "b p"], run: Int[Tensor, "b"]) -> Float[Tensor, "b p"]:
        """What the listed models' first layers are given for grid counts."""
        encoded = self.modelled(counts) * self.slope[run] + self.offset[run]
        return self.model.quantize_input(encoded.to(self.base.dtype), run)

    def first(self, points: Points, rows: Int[Tensor, "b"]) -> Float[Tensor, "b h"]:
        """First pre-activation of the listed instances at these points."""
        run = self.run[rows]
        seen = self.seen(points.numbers, run)
        out = self.base.index_select(0, rows)
        for r, piece in of_each_run(run):
            out[piece] = out[piece].addmm_(seen[piece], self.number_weight[r])
        for g in range(self.groups):
            out += self.switch_column(run, points.levels[:, g])
        return out

    def number_column(self, run: Int[Tensor, "b"], number: Int[Tensor, "b"]) -> Float[Tensor, "b h"]:
        """What one unit of a number as the model sees it adds to the first pre-activation."""
        return self.number_weight.flatten(0, 1).index_select(0, run * self.numbers + number)

    def switch_column(self, run: Int[Tensor, "b"], column: Int[Tensor, "b"]) -> Float[Tensor, "b h"]:
        """What a level adds to the first pre-activation."""
        return self.switch_weight.flatten(0, 1).index_select(0, run * len(self.group) + column)

    def forward_from_first(self, first: Float[Tensor, "b h"], run: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        """Logits from first pre-activations of candidates sorted by model."""
        out = first.new_empty(len(first))
        for start in range(0, len(first), AT_ONCE):
            piece = slice(start, start + AT_ONCE)
            out[piece] = _rest(self.model, first[piece], run[piece])
        return out

    def logits(self, points: Points, rows: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        """Logits of the listed instances, in increasing order, at these points."""
        return self.forward_from_first(self.first(points, rows), self.run[rows])


def of_each_run(run: Int[Tensor, "b"]) -> Iterator[tuple[int, slice]]:
    """Every model among candidates sorted by model, and where its own stand."""
    runs, counts = torch.unique_consecutive(run, return_counts=True)
    end = 0
    for r, count in zip(runs.tolist(), counts.tolist(), strict=True):
        yield r, slice(end, end + count)
        end += count


def _rest(model: Scorer, first: Float[Tensor, "b h"], run: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
    lowest, highest = int(run[0]), int(run[-1])
    models = model.take(range(lowest, highest + 1)) if (lowest, highest) != (0, model.runs - 1) else model
    if lowest == highest:
        return models.forward_from_first(first[None])[0]
    counts = torch.bincount(run - lowest, minlength=highest - lowest + 1)
    starts = counts.cumsum(0) - counts
    place = torch.arange(len(run)) - starts[run - lowest]
    padded = first.new_zeros(len(counts), int(counts.max()), first.shape[1])
    padded[run - lowest, place] = first
    return models.forward_from_first(padded)[run - lowest, place]


def build_problem(
    model: Scorer, queries: Sequence[RecourseQuery], target: float, dtype: torch.dtype = torch.float32
) -> Problem:
    """The reduced problem of everybody who asks; ``queries[r]`` are the people of run r."""
    model = model.to(dtype)
    numbers, switches = list(_numbers(queries[0].actions)), list(queries[0].actions.switches)
    features = queries[0].actions.schema.features
    widths = [len(features[i].levels) for i in switches]
    starts = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
    run = torch.repeat_interleave(torch.arange(len(queries)), torch.tensor([len(a.values) for a in queries]))
    columns = _columns(queries[0].encoding, numbers, switches)
    boxes = [[a.actions.box(i, a.values) for i in numbers] for a in queries]

    def points(rows: Callable[[RecourseQuery], Values]) -> Points:
        levels = _rows(queries, lambda a: rows(a)[:, switches] + starts[:-1]).long()
        return Points(_rows(queries, lambda a: rows(a)[:, numbers]), levels)

    number_weight = model.first_weight[:, :, columns.numbers].mT.contiguous()
    ones = torch.ones(model.runs, 1, len(columns.levels), dtype=dtype)
    switch_weight = (
        model.first_weight[:, :, columns.levels] * model.quantize_input(ones)
    ).mT.contiguous()  # a level is a 1 in its column
    problem = Problem(
        model=model,
        run=run,
        base=_base(model, queries, columns, dtype),
        own=points(lambda a: a.values),
        low=_bound(queries, boxes, 0),
        high=_bound(queries, boxes, 1),
        allowed=_rows(queries, lambda a: _allowed(a, switches)).bool(),
        number_weight=number_weight,
        switch_weight=switch_weight,
        group=torch.repeat_interleave(torch.arange(len(switches)), torch.tensor(widths, dtype=torch.int64)),
        slope=torch.tensor([[1 / a.encoding.std[i] for i in numbers] for a in queries], dtype=torch.float64),
        offset=torch.tensor(
            [[-a.encoding.mean[i] / a.encoding.std[i] for i in numbers] for a in queries], dtype=torch.float64
        ),
        step=torch.tensor([1.0 if features[i].levels else features[i].step for i in numbers], dtype=torch.float64),
        log=torch.tensor([features[i].log for i in numbers], dtype=torch.bool),
        number_price=torch.tensor(
            [[features[i].weight / a.actions.scales[i] for i in numbers] for a in queries], dtype=torch.float64
        ),
        switch_price=torch.tensor(
            [features[i].weight for i in switches for _ in features[i].levels], dtype=torch.float64
        ),
        target=target,
        known=points(lambda a: a.values if a.known is None else a.known),
        settled=_rows(queries, lambda a: np.zeros(len(a.values)) if a.settled is None else a.settled).bool(),
        holds=_rows(queries, lambda a: np.zeros(len(a.values)) if a.holds is None else a.holds).bool(),
    )
    return _tied(problem, queries, starts[:-1])


def _numbers(actions: ActionSet) -> tuple[int, ...]:
    """The numbers of a problem: those that are moved, then those that follow."""
    return (*actions.numbers, *actions.followers)


def _tied(problem: Problem, queries: Sequence[RecourseQuery], starts: Int[np.ndarray, "g"]) -> Problem:
    """The problem with what ties its features together, and the ends of the numbers that follow."""
    actions = queries[0].actions
    if actions.tied is None:
        return problem
    before = np.concatenate([a.values for a in queries])
    tied = Tied(actions.tied, before, _numbers(actions), actions.switches, starts)
    everybody = torch.arange(len(problem))
    low, high, _ = tied.narrowed(everybody, problem.low, problem.high, problem.allowed)
    return replace(problem, tied=tied, low=low, high=high)


@dataclass(frozen=True)
class _Movable:
    numbers: list[int]  # encoded columns
    levels: list[int]


def _columns(encoding: Encoding, numbers: Sequence[int], switches: Sequence[int]) -> _Movable:
    levels = [encoding.starts[i] + k for i in switches for k in range(len(encoding.schema.features[i].levels))]
    return _Movable([encoding.starts[i] for i in numbers], levels)


def _base(
    model: Scorer, queries: Sequence[RecourseQuery], columns: _Movable, dtype: torch.dtype
) -> Float[Tensor, "i h"]:
    parts = []
    for r, ask in enumerate(queries):
        inputs = torch.tensor(ask.encoding.encode(ask.values), dtype=dtype)
        inputs[:, columns.numbers + columns.levels] = 0.0
        one = model.take([r])
        parts.append(torch.baddbmm(one.first_bias[:, None], one.quantize_input(inputs[None]), one.first_weight.mT)[0])
    return torch.cat(parts)


def _allowed(ask: RecourseQuery, switches: Sequence[int]) -> Bool[np.ndarray, "n q"]:
    reach = [ask.actions.reachable(i, ask.values) for i in switches]
    return np.concatenate(reach, axis=1) if reach else np.zeros((len(ask.values), 0), bool)


def _rows(queries: Sequence[RecourseQuery], of: Callable[[RecourseQuery], np.ndarray]) -> Float[Tensor, "i ..."]:
    return torch.cat([torch.tensor(of(a), dtype=torch.float64) for a in queries])


def _bound(
    queries: Sequence[RecourseQuery], boxes: list[list[tuple[np.ndarray, np.ndarray]]], side: int
) -> Float[Tensor, "i p"]:
    parts = []
    for ask, box in zip(queries, boxes, strict=True):
        columns = [bound[side] for bound in box]
        parts.append(np.stack(columns, axis=1) if columns else np.zeros((len(ask.values), 0)))
    return torch.cat([torch.tensor(p, dtype=torch.float64) for p in parts])


def by_run(problem: Problem, rows: Int[Tensor, "i"] | None = None) -> tuple[Int[Tensor, "r n"], Bool[Tensor, "r n"]]:
    """Instances of each model side by side, padded; and which entries are real. ``rows``: only these, increasing."""
    rows = torch.arange(len(problem)) if rows is None else rows
    counts = torch.bincount(problem.run[rows], minlength=problem.model.runs)
    place = torch.arange(int(counts.max()))
    index = (counts.cumsum(0) - counts)[:, None] + place
    real = place < counts[:, None]
    return rows[torch.where(real, index, 0)], real


def decoded(problem: Problem, queries: Sequence[RecourseQuery], points: Points) -> Values:
    """The people at these points, one row an instance, in exact integer form."""
    after = np.concatenate([a.values for a in queries])
    actions = queries[0].actions
    after[:, _numbers(actions)] = points.numbers.numpy().astype(np.int64)
    widths = [len(actions.schema.features[i].levels) for i in actions.switches]
    starts = np.concatenate([[0], np.cumsum(widths)])[:-1].astype(np.int64)
    after[:, actions.switches] = points.levels.numpy() - starts
    return after
