"""The default search: enumeration with line search, a relaxation, rescue restarts, then polish.

1. every single switch of category, and from each the smallest valid change of every one number;
2. gradient search on numbers and one-hot simplexes, hardened to realisable points;
3. for people still without an answer: coordinate ascent on the logit from several starts;
4. polish: drop a change in part or whole, add or swap a switch, re-optimise a number; where that is stuck, pairs.

All people and all models advance together. Against exact answers see benchmarks/README.md.

Where another model's answer is known, its point is tried first, with what its numbers can be changed to; who has an
answer after step 1 then skips step 2. A known answer to a stricter demand of the same model has been through step 4,
so pairs are tried from it only, not from its parts. Where constraints tie features together, see `constrained.py`.

Pairs of moves are cubic in the features, so a wide table's are made of the best moves only (`narrowed.py`), and its
candidates are held in small parts, of which no line is searched twice. All that only beyond ``wide`` moves: up to
there, nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from cfq_core.recourse.best_known import (
    BestKnown,
    Candidates,
    number_cost,
    stepped,
    switched,
    switched_twice,
    try_lines,
    try_points,
    worth_trying,
)
from cfq_core.recourse.constrained import Constrained
from cfq_core.recourse.narrowed import narrowed
from cfq_core.recourse.problem import Points, Problem
from cfq_core.recourse.relaxed import Relaxed
from cfq_core.recourse.rescue import rescue

PAIRS_AT_A_TIME = 500  # people whose pairs of moves are held in memory together
HELD = 32_768  # candidates of a wide table that are held in memory together, about 1 KB each


@dataclass(frozen=True)
class Search:
    """Settings of the default search."""

    KEY = "search"
    STARTS: ClassVar[bool] = True  # from known points
    relaxed: Relaxed = field(default_factory=Relaxed)
    restarts: int = 8  # rescue starts a person
    rounds: int = 8  # polish rounds at most
    grid: int = 3  # samples of a line before it is refined
    kept: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9)  # shares of a number's change tried by the polish
    kept_in_pairs: tuple[float, ...] = (0.0, 0.5)  # the same where two moves are tried at once
    steps: tuple[int, ...] = (1, 2)  # grid steps of a second number, from the person's own value
    wide: int = 64  # moves beyond which a table is wide: two a number, one a level; German has 59 with everything free
    best_moves: int = 24  # of a wide table's moves, tried in pairs beside those made already
    boxes: int = 400  # of branch and bound a person may take where constraints tie features together
    grid_in_pairs: int = 3  # samples of a line behind two moves

    def of_many_rows(self) -> Search:
        """The same for a large table: a line behind two moves is refined only where its far end is valid.

        Measured in benchmarks/README.md, "Many rows".
        """
        return replace(self, grid_in_pairs=1)

    def best(self, problem: Problem, feasible: Tensor) -> Points:
        """Cheapest valid points found; ``feasible``: instances not proved to have none."""
        if problem.tied is not None:
            return Constrained(self.boxes, self.rounds).best(problem, feasible)
        best_known = BestKnown(problem)
        best_known.start()
        everybody = torch.arange(len(problem))
        known = problem.cost(problem.known, everybody) > 0
        self._start(problem, best_known, everybody[feasible & known])
        self._enumerate(problem, best_known, everybody[feasible])
        self.relaxed.improve(problem, best_known, everybody[best_known.cost.isinf() | ~known])
        without = (best_known.cost.isinf() & feasible).nonzero()[:, 0]
        if len(without):
            rescue(problem, best_known, without, self.restarts)
        self._polish(problem, best_known)
        return best_known.points

    def _start(self, problem: Problem, best: BestKnown, rows: Int[Tensor, "n"]) -> None:
        """The known points, shortened and lengthened in one number."""
        rows = rows[best.cost[rows] > 0]
        self._try(problem, best, Candidates.at(problem, rows, problem.known.take(rows)))

    def _enumerate(self, problem: Problem, best: BestKnown, rows: Int[Tensor, "n"]) -> None:
        rows = rows[best.cost[rows] > 0]
        for own in self._parts(problem, Candidates.at(problem, rows, problem.own.take(rows)), len(problem.group)):
            try_lines(problem, best, own, self.grid, self._is_wide(problem))
            self._try(problem, best, switched(problem, own, best.cost[own.rows]))

    def _polish(self, problem: Problem, best: BestKnown) -> None:
        """Single moves until they gain nothing, then pairs of moves; whoever gains goes round again."""
        active = (best.cost.isfinite() & (best.cost > 0)).nonzero()[:, 0]
        for _ in range(self.rounds):
            if not len(active):
                break
            before = best.cost[active].clone()
            for bases in self._parts(problem, self._bases(problem, best, active, self.kept), len(problem.group)):
                self._try(problem, best, self._and_switched(problem, best, bases))
            stuck = active[best.cost[active] >= before]
            free = narrowed(problem, best, stuck, self.best_moves) if self._is_wide(problem) else problem
            for part in stuck.split(PAIRS_AT_A_TIME):
                for bases in self._parts(problem, self._bases_of_pairs(problem, best, part), 2 * self.best_moves**2):
                    self._try_pairs(free, best, bases)
            active = active[best.cost[active] < before]

    def _try_pairs(self, problem: Problem, best: BestKnown, bases: Candidates) -> None:
        step = stepped(problem, bases, _dearest(problem, best, bases), self.steps)
        self._try(problem, best, self._and_switched(problem, best, step), self.grid_in_pairs)
        for pairs in switched_twice(problem, bases, lambda c: _dearest(problem, best, c), self._is_wide(problem)):
            self._try(problem, best, pairs, self.grid_in_pairs)

    def _is_wide(self, problem: Problem) -> bool:
        return 2 * problem.numbers + len(problem.group) > self.wide

    def _parts(self, problem: Problem, bases: Candidates, moves: int) -> Iterator[Candidates]:
        """Bases from which so many moves each are tried, in parts where the table is wide."""
        if not self._is_wide(problem):
            yield bases
            return
        for rows in torch.arange(len(bases.rows)).split(max(1, HELD // (1 + moves))):
            yield bases.take(rows)

    @staticmethod
    def _and_switched(problem: Problem, best: BestKnown, bases: Candidates) -> Candidates:
        """Candidates, and each with one category switched."""
        return Candidates.join(problem, [bases, switched(problem, bases, _dearest(problem, best, bases))])

    def _try(self, problem: Problem, best: BestKnown, tried: Candidates, grid: int | None = None) -> None:
        try_points(problem, best, tried)
        try_lines(problem, best, worth_trying(problem, best, tried), grid or self.grid, self._is_wide(problem))

    def _bases_of_pairs(self, problem: Problem, best: BestKnown, rows: Int[Tensor, "n"]) -> Candidates:
        settled = (problem.settled & problem.holds)[rows]
        alone = Candidates.at(problem, rows[settled], best.points.take(rows[settled]))
        return Candidates.join(problem, [alone, self._bases(problem, best, rows[~settled], self.kept_in_pairs)])

    def _bases(self, problem: Problem, best: BestKnown, rows: Int[Tensor, "n"], kept: tuple[float, ...]) -> Candidates:
        """The incumbents, and each with one changed number scaled back or one switch undone."""
        now, own = best.points.take(rows), problem.own.take(rows)
        listed, parts, covered = [rows], [now], [torch.full_like(rows, -1)]
        for j in range(problem.numbers):
            change = now.numbers[:, j] - own.numbers[:, j]
            tried = change  # a short change scales back to the same few grid points: each is tried once
            for share in sorted(kept, reverse=True):
                scaled = (change * share).trunc()
                fresh = (scaled != tried).nonzero()[:, 0]
                part = now.take(fresh)
                part.numbers[:, j] = own.numbers[fresh, j] + scaled[fresh]
                listed.append(rows[fresh])
                parts.append(part)
                covered.append(torch.full_like(fresh, j))
                tried = scaled
        for g in range(problem.groups):
            moved = (now.levels[:, g] != own.levels[:, g]).nonzero()[:, 0]
            part = now.take(moved)
            part.levels[:, g] = own.levels[moved, g]
            listed.append(rows[moved])
            parts.append(part)
            covered.append(torch.full_like(moved, -1))
        return Candidates.at(problem, torch.cat(listed), Points.join(parts), torch.cat(covered))


def _dearest(problem: Problem, best: BestKnown, c: Candidates) -> Tensor:
    """What a switched candidate may cost and still win once one of its numbers is made as small as possible."""
    limit = best.cost[c.rows]
    return limit + number_cost(problem, c).max(1).values if problem.numbers else limit


PLUGIN = Search()
