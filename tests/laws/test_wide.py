"""Wide tables: pairs of the best moves only, nobody the worse for it; memory that does not grow with people."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cfq_core.actions.action_set import ActionSet
from cfq_core.actions.regimes import REGIMES, under
from cfq_core.base import plugins
from cfq_core.base.errors import DataUnavailable
from cfq_core.base.seeds import numpy_stream, repeatable, torch_stream
from cfq_core.nets.stack import Stack
from cfq_core.pipeline import solver_on
from cfq_core.recourse import find, search
from cfq_core.recourse.best_known import BestKnown, Candidates, switched_twice
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import Solver, find_recourse, logits64
from cfq_core.recourse.narrowed import narrowed
from cfq_core.recourse.pgd import Pgd
from cfq_core.recourse.problem import Problem, RecourseQuery, build_problem
from cfq_core.recourse.search import Search
from cfq_core.study.tasks import large_revision
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Feature, Schema, Table
from cfq_core.training.loop import LARGE, LARGE_STEPS, LOOKED_AT, Fold, TeacherTraining

EVERY = 10**9  # no table is wide
KAPPA = 0.2  # logits
DEARER, DEAREST = 1.001, 1.02  # of all costs, and of one person's


def schema(features: int, numbers: float = 0.5) -> Schema:
    """Whole numbers, half of all features, one in four of them one way only, and categories of three levels."""
    half = int(features * numbers)
    counts = [Feature(f"n{j}", "integer", low=0, high=60, move="up" if j % 4 == 0 else "any") for j in range(half)]
    switches = [Feature(f"c{j}", "category", levels=("a", "b", "c")) for j in range(features - half)]
    return Schema(f"wide{features}", "made", (*counts, *switches), "yes", "no")


def people(of: Schema, rows: int, seed: int) -> np.ndarray:
    random = numpy_stream(seed, "tests/wide")
    return np.stack([random.integers(0, len(f.levels) or 61, rows) for f in of.features], 1)


def denied(
    features: int, count: int, seeds: tuple[int, ...] = (0, 1), numbers: float = 0.5
) -> tuple[Stack, list[RecourseQuery]]:
    """Random nets that deny most people, and some of those."""
    of = schema(features, numbers)
    training = people(of, 300, 99)
    encoding, actions = Encoding.fit(of, training), ActionSet.fit(of, training)
    model = Stack.initial(encoding.width, (8, 8), seeds)
    biases = tuple(
        torch.stack([torch.randn(b.shape[1], generator=torch_stream(s, f"tests/wide/{i}")) for s in seeds])
        for i, b in enumerate(model.biases)
    )
    model = replace(model, biases=biases)
    logits = [logits64(model, r, encoding, training) for r in range(len(seeds))]
    lower = torch.tensor([[float(np.quantile(q, 0.75))] for q in logits]).float()
    model = replace(model, biases=(*biases[:-1], biases[-1] - lower))
    short = [people(of, 300, s)[logits64(model, r, encoding, people(of, 300, s)) <= 0] for r, s in enumerate(seeds)]
    return model, [RecourseQuery(few[:count], encoding, actions) for few in short]


def begun(features: int, count: int) -> tuple[Problem, BestKnown]:
    """A problem, and where everybody would go after the first moves."""
    model, queries = denied(features, count)
    problem = build_problem(model, queries, KAPPA)
    best = BestKnown(problem)
    Search()._enumerate(problem, best, torch.arange(len(problem)))
    return problem, best


def test_pairs_of_the_best_moves_cost_nobody_more_on_random_nets() -> None:
    with repeatable():
        model, queries = denied(40, 1)
        few, every = (find_recourse(model, queries, how, KAPPA) for how in (Search(), Search(wide=EVERY)))
    assert (few.has_recourse == every.has_recourse).all() and every.has_recourse.any()
    found = every.has_recourse & (every.cost > 0)
    assert few.cost[found].sum() <= DEARER * every.cost[found].sum()
    assert (few.cost[found] <= DEAREST * every.cost[found]).all()


@pytest.mark.parametrize("features", [6, 12, 20])
def test_the_search_of_a_large_table_costs_nobody_more_on_random_nets(features: int) -> None:
    with repeatable():
        model, queries = denied(features, 12, (0, 1, 2))
        usual, quick = (find_recourse(model, queries, how, KAPPA) for how in (Search(), Search().of_many_rows()))
    assert (usual.has_recourse == quick.has_recourse).all()
    found = usual.has_recourse & (usual.cost > 0)
    assert found.sum() > 20 and quick.cost[found].sum() <= DEARER * usual.cost[found].sum()
    assert (quick.cost[found] <= DEAREST * usual.cost[found]).all()


@pytest.mark.parametrize("rows", [LARGE, LARGE + 1])
def test_only_a_large_table_is_searched_as_one(rows: int) -> None:
    design = SimpleNamespace(split=SimpleNamespace(train=np.arange(rows)))
    other = Exact(boxes=200)
    assert solver_on(design, other) is other  # type: ignore[arg-type]
    assert solver_on(design, Search()) == (Search() if rows == LARGE else Search(grid_in_pairs=1))  # type: ignore[arg-type]


def test_logits_of_many_rows_are_those_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (query, *_) = denied(12, 1)
    for rows in (0, 1, find.KERNEL, 1000, 2001):
        values = people(query.encoding.schema, rows, 5)
        whole = logits64(model, 0, query.encoding, values)
        monkeypatch.setattr(find, "ROWS_AT_ONCE", 500)
        assert len(whole) == rows and np.allclose(logits64(model, 0, query.encoding, values), whole, rtol=0, atol=1e-12)
        monkeypatch.undo()


@pytest.mark.parametrize("solver", [Search(), Search(wide=1), Pgd(), Exact(boxes=200)], ids=str)
@pytest.mark.parametrize(("features", "numbers"), [(40, 1.0), (40, 0.0), (3, 1.0), (3, 0.0), (1, 1.0), (1, 0.0)])
def test_tables_of_numbers_alone_and_of_categories_alone_are_searched(
    solver: Solver, features: int, numbers: float
) -> None:
    with repeatable():
        model, queries = denied(features, 2, numbers=numbers)
        found = find_recourse(model, queries, solver, KAPPA)
    assert found.has_recourse.any() or features == 1 or (isinstance(solver, Pgd) and numbers == 0)
    assert np.isfinite(found.cost[found.has_recourse]).all()


def test_with_every_move_kept_a_narrowed_problem_is_the_problem() -> None:
    problem, best = begun(30, 6)
    same = narrowed(problem, best, torch.arange(len(problem)), EVERY)
    assert torch.equal(same.low, problem.low) and torch.equal(same.high, problem.high)
    assert torch.equal(same.allowed, problem.allowed)


@pytest.mark.parametrize("moves", [1, 24])
def test_a_narrowed_problem_holds_where_everybody_is_and_goes_and_few_moves_besides(moves: int) -> None:
    problem, best = begun(30, 6)
    rows = torch.arange(0, len(problem), 2)
    few = narrowed(problem, best, rows, moves)
    others = torch.tensor([i for i in range(len(problem)) if i % 2])
    assert torch.equal(few.low[others], problem.low[others]) and torch.equal(
        few.allowed[others], problem.allowed[others]
    )
    for numbers, levels in ((problem.own.numbers, problem.own.levels), (best.numbers, best.levels)):
        assert (few.low <= numbers).all() and (numbers <= few.high).all()
        assert few.allowed.gather(1, levels).all()
    still = (best.numbers == problem.own.numbers)[rows]
    free = (((few.low < problem.own.numbers)[rows] & still).sum(1)) + (
        (few.high > problem.own.numbers)[rows] & still
    ).sum(1)
    same = (best.levels == problem.own.levels)[:, problem.group][rows]
    free += (few.allowed[rows] & same).sum(1) - (best.levels == problem.own.levels)[rows].sum(1)
    assert (free <= moves).all() and (free > 0).any()


def test_two_switches_at_once_are_those_of_each_first_category_in_turn() -> None:
    problem, best = begun(12, 3)
    rows = torch.arange(len(problem))
    here = Candidates.at(problem, rows, best.points)
    lists = [list(switched_twice(problem, here, lambda c: c.cost + 2.5, at_once)) for at_once in (True, False)]
    each, once = (
        {(r, *p) for few in of for r, p in zip(few.rows.tolist(), few.points.levels.tolist(), strict=True)}
        for of in lists
    )  # fmt: skip
    assert each == once and len(each) > 100
    assert len(lists[0]) == 1 and len(lists[0][0].rows) == len(each)


def test_candidates_held_together_do_not_grow_with_people(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    try_points = search.try_points

    def counted(problem: Problem, best: BestKnown, c: Candidates) -> None:
        held.append(len(c.rows))
        try_points(problem, best, c)

    monkeypatch.setattr(search, "try_points", counted)
    monkeypatch.setattr(search, "HELD", 200)
    for count in (2, 12):
        held.clear()
        model, queries = denied(28, count, (0,))
        find_recourse(model, queries, Search(best_moves=4, rounds=1), KAPPA)
        assert max(held) <= 2 * search.HELD
    assert sum(held) > 6 * search.HELD


@pytest.mark.parametrize("name", plugins.names("datasets"))
def test_shipped_tables_are_neither_wide_nor_long_in_any_regime(name: str) -> None:
    """So their answers, teachers and ids are what they were."""
    try:
        table = plugins.load("datasets", name).load()
    except DataUnavailable:
        pytest.skip(f"{name} is not on disk")
    assert {large_revision(table, regime) for regime in REGIMES} == {0}


def test_a_wide_or_long_table_has_ids_of_its_own() -> None:
    wide = Table(schema(40), people(schema(40), 20, 0), np.arange(20) < 10)
    narrow = Table(schema(4), people(schema(4), 20, 0), np.arange(20) < 10)
    long = replace(narrow, values=np.resize(narrow.values, (LARGE + 1, 4)), outcome=np.arange(LARGE + 1) % 2 == 0)
    assert [large_revision(t, "default") > 0 for t in (wide, narrow, long)] == [True, False, True]
    fixed = replace(wide, schema=replace(wide.schema, features=tuple(_fixed(f) for f in wide.schema.features)))
    assert large_revision(fixed, "default") == 0 and under("default", fixed.schema).features[0].move == "fixed"


def _fixed(f: Feature) -> Feature:
    return replace(f, move="fixed")


@pytest.mark.parametrize("rows", [100, 30_000, LARGE])
def test_teachers_of_other_tables_are_trained_as_before(rows: int) -> None:
    for how in (TeacherTraining(), TeacherTraining(epochs=6, rows_per_step=32)):
        assert how.on(rows) == how


@pytest.mark.parametrize("rows", [LARGE + 1, 189_000, 3_000_000])
def test_a_large_table_takes_about_as_many_steps_whatever_its_rows(rows: int) -> None:
    how = TeacherTraining().on(rows)
    steps = how.epochs * rows / how.rows_per_step
    assert steps <= 1.1 * LARGE_STEPS or how.epochs == 4
    assert how.rows_per_step % TeacherTraining().rows_per_step == 0 and how.epochs < TeacherTraining().epochs


def test_of_many_validation_rows_a_fixed_spread_chooses_the_epoch() -> None:
    rows = 2 * LOOKED_AT + 5
    fold = Fold(torch.arange(float(rows))[None, :, None], torch.arange(float(rows))[None])
    kept = fold.thinned(LOOKED_AT)
    assert 0 < kept.outcome.shape[1] <= LOOKED_AT and torch.equal(kept.outcome, kept.inputs[..., 0])
    assert kept.outcome[0, -1] > 0.99 * rows
    few: Any = Fold(fold.inputs[:, :7], fold.outcome[:, :7]).thinned(LOOKED_AT)
    assert few.outcome.shape[1] == 7
