"""Exact recourse against full enumeration, and what it says when its budget is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from cfq_core.base.seeds import numpy_stream, repeatable
from cfq_core.nets.layers import architecture
from cfq_core.nets.linear import above
from cfq_core.nets.stack import Scorer, Stack
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.quantized import QuantStack, Shifted
from cfq_core.recourse import ball as ball_module
from cfq_core.recourse.ball import Ball
from cfq_core.recourse.boxes import Space
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import SLACK, find_recourse, logits64
from cfq_core.recourse.outcome import Recourse, Why
from cfq_core.recourse.problem import Points, Problem, RecourseQuery, build_problem
from cfq_core.recourse.robust import Worst
from cfq_core.recourse.search import Search

from .lattice import Lattice, Network
from .legality import Rules, frame
from .test_search_quality import KAPPA, optima, small_case

PEOPLE = 10
BLOCK = 4096  # points judged at a time


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with repeatable():
        yield


@dataclass(frozen=True)
class Nothing:
    """A warm start that knows no answer: all the work is branch and bound's."""

    def best(self, problem: Problem, feasible: torch.Tensor) -> Points:
        return problem.own


def students(model: Stack, queries: list[RecourseQuery], bits: int) -> QuantStack:
    inputs = torch.tensor(np.stack([a.encoding.encode(a.values) for a in queries]), dtype=torch.float32)
    return Calibration().quantize(model, torch.full((model.runs, len(model.weights)), bits), inputs)


def enumerated(model: Scorer, run: int, ask: RecourseQuery, rules: Rules, kappa: float = KAPPA) -> list[float]:
    """The least cost of everybody on any model, by judging every person they could be in order of cost."""
    lowest = []
    kappa = kappa or 1e-9  # a favourable logit is strictly positive
    width = Network((np.zeros((1, ask.encoding.width)), np.zeros((1, 1))), (np.zeros(1), np.zeros(1)))
    for _, person in frame(ask.encoding.schema, ask.values).iterrows():
        lattice = Lattice.of(width, ask.encoding, rules, person)
        cost = np.zeros(1)
        for price in lattice.prices:
            cost = (cost[:, None] + price).ravel()
        order, found = np.argsort(cost, kind="stable"), np.inf
        for start in range(0, len(order), BLOCK):
            block = order[start : start + BLOCK]
            values = np.repeat(lattice.own[None], len(block), axis=0)
            places = np.unravel_index(block, [len(c) for c in lattice.counts])
            for feature, counts, place in zip(lattice.features, lattice.counts, places, strict=True):
                values[:, feature] = counts[place]
            valid = np.flatnonzero(logits64(model, run, ask.encoding, values) >= kappa)
            if len(valid):
                found = float(cost[block[valid[0]]])
                break
        lowest.append(found)
    return lowest


def assert_proved(answer: Recourse, best: np.ndarray) -> None:
    assert answer.proved.all()
    np.testing.assert_allclose(answer.cost, best, rtol=1e-6)
    np.testing.assert_allclose(answer.lower, best, rtol=1e-6)
    assert (answer.why[np.isinf(best)] == Why.NO_ACTION).all()


@pytest.mark.parametrize("warm", [Search(), Nothing()], ids=lambda w: type(w).__name__)
def test_it_equals_enumeration_on_small_lattices(warm: Search | Nothing) -> None:
    model, queries, rules = small_case(range(4), people=30)
    best = np.array([b.cost for b in optima(model, queries, rules)])
    assert 0.1 < np.isinf(best).mean() < 0.9, "both kinds of people"
    assert_proved(find_recourse(model, queries, Exact(warm=warm, enumerated=4), KAPPA), best)


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("moved", [0.0, 0.3])
def test_it_equals_enumeration_on_students_with_8_bit_activations(bits: int, moved: float) -> None:
    model, queries, rules = small_case([0, 1], people=PEOPLE)
    student: Scorer = students(model, queries, bits)
    if moved:
        student = Shifted(student, torch.full((2,), moved, dtype=torch.float64))
    best = np.concatenate([enumerated(student, run, ask, rules) for run, ask in enumerate(queries)])
    assert_proved(find_recourse(student, queries, Exact(warm=Nothing(), enumerated=4), KAPPA), best)


def test_it_equals_enumeration_on_the_worst_of_variants() -> None:
    model, queries, rules = small_case([0], people=PEOPLE)
    variants = QuantStack.join([students(model, queries, bits) for bits in (8, 4, 3)])
    worst = Worst(variants, 3)
    best = np.array(enumerated(worst, 0, queries[0], rules))
    assert np.isfinite(best).any()
    assert_proved(find_recourse(worst, queries, Exact(warm=Nothing(), enumerated=4), KAPPA), best)


@dataclass(frozen=True)
class Unlined:
    """A model of which only intervals are known: it computes no linear bounds."""

    model: Stack

    runs = property(lambda self: self.model.runs)
    first_weight = property(lambda self: self.model.first_weight)
    first_bias = property(lambda self: self.model.first_bias)

    def quantize_input(self, inputs: torch.Tensor, run: torch.Tensor | None = None) -> torch.Tensor:
        return self.model.quantize_input(inputs, run)

    def forward_from_first(self, first: torch.Tensor) -> torch.Tensor:
        return self.model.forward_from_first(first)

    def highest(self, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        return self.model.highest(low, high)

    def take(self, runs: Sequence[int]) -> Unlined:
        return Unlined(self.model.take(runs))

    def to(self, dtype: torch.dtype) -> Unlined:
        return Unlined(self.model.to(dtype))


def test_it_equals_enumeration_where_only_intervals_are_known() -> None:
    model, queries, rules = small_case([1], people=4)
    smooth = Unlined(replace(model, architecture=architecture((0, 0), "tanh")))
    best = np.array(enumerated(smooth, 0, queries[0], rules, kappa=-0.5))
    assert np.isfinite(best).any()
    assert_proved(
        find_recourse(Shifted(smooth, torch.tensor([-0.7])), queries, Exact(boxes=10**6, at_once=10**4), KAPPA), best
    )


@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_the_margin_is_asked_for_to_the_last_digit(kappa: float) -> None:
    model, queries, rules = small_case([2], people=PEOPLE)
    best = np.array(enumerated(model, 0, queries[0], rules, kappa))
    assert_proved(find_recourse(model, queries, Exact(), kappa), best)


def test_a_spent_budget_leaves_a_lower_bound_and_no_proof() -> None:
    model, queries, rules = small_case(range(3), people=30)
    best = np.array([b.cost for b in optima(model, queries, rules)])
    answer = find_recourse(model, queries, Exact(boxes=2, at_once=1, warm=Nothing()), KAPPA)
    assert 0 < answer.proved.mean() < 1
    assert (answer.lower <= best * (1 + 1e-6)).all()
    np.testing.assert_allclose(answer.cost[answer.proved], best[answer.proved], rtol=1e-6)
    known = answer.has_recourse & ~answer.proved
    assert (answer.gap[answer.has_recourse & answer.proved] == 0).all() and (answer.gap[known] > 0).all()
    assert (answer.why[~answer.has_recourse & ~answer.proved] != Why.NO_ACTION).all()


def test_the_search_proves_only_what_bounds_alone_prove() -> None:
    model, queries, rules = small_case(range(3))
    best = np.array([b.cost for b in optima(model, queries, rules)])
    answer = find_recourse(model, queries, Search(), KAPPA)
    assert (answer.lower <= best).all()
    proved = answer.proved
    assert (np.isinf(best[proved]) | (best[proved] == 0)).all()
    exact = find_recourse(model, queries, Exact(), KAPPA)
    assert (exact.cost <= answer.cost).all()


def test_a_crowd_in_blocks_is_answered_as_one_by_one() -> None:
    model, queries, _ = small_case([0, 1], people=25)
    together = find_recourse(model, queries, Exact(), KAPPA)
    apart = find_recourse(model, queries, Exact(people=3), KAPPA)
    assert (together.after == apart.after).all() and (together.cost == apart.cost).all()


@pytest.mark.parametrize("kind", ["teacher", "student"])
def test_a_form_is_nowhere_below_the_logit_and_its_cost_nowhere_above_a_valid_actions(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, queries, _ = small_case([0, 1], people=20)
    scorer: Scorer = model if kind == "teacher" else students(model, queries, 3)
    monkeypatch.setattr(ball_module, "NEAR", 0.0)
    problem = build_problem(scorer, queries, KAPPA, torch.float64)
    random = numpy_stream(0, "tests/boxes")
    space, checked = Space(problem), 0
    boxes = space.whole(torch.arange(len(problem)))
    for _ in range(4):
        budget = torch.tensor(random.uniform(0.5, 8.0, len(boxes)))
        boxes = space.shrunk(boxes, budget)
        budget = torch.tensor(random.uniform(0.5, 8.0, len(problem)))[boxes.rows]
        ball = Ball(space, boxes, budget, single=True, steps=3)
        form = above(problem.model, problem.run[boxes.rows], ball)
        cheapest = ball.cheapest(form, problem.target)
        for k in range(len(boxes)):
            if float(space.sizes(boxes.take(torch.tensor([k])))) > 20_000:
                continue
            rows, points = space.listed(boxes.take(torch.tensor([k])))
            cost, first = problem.cost(points, rows), problem.first(points, rows)
            logits = problem.forward_from_first(first, problem.run[rows])
            within = cost <= budget[k]
            assert (logits[within] <= first[within] @ form.weight[k] + form.constant[k] + SLACK[0]).all()
            assert (logits[within] <= form.top[k] + 1e-9).all()
            reached = within & (logits >= problem.target)
            assert (cost[reached] >= cheapest.cost[k] - 1e-9).all()
            checked += int(within.sum())
        boxes = space.split(boxes, cheapest.slope, form.blame)
    assert checked > 5_000


def test_chosen_lower_lines_make_no_box_cheaper_and_some_dearer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ball_module, "NEAR", 0.0)
    model, queries, _ = small_case([0, 1], people=20)
    problem = build_problem(model, queries, KAPPA, torch.float64)
    space = Space(problem)
    boxes = space.whole(torch.arange(len(problem)))
    budget = torch.full((len(boxes),), 6.0, dtype=torch.float64)
    plain, chosen = (
        ball.cheapest(above(problem.model, problem.run, ball), problem.target).cost
        for ball in (Ball(space, boxes, budget, steps=steps) for steps in (0, 3))
    )
    assert (chosen >= plain).all() and (chosen > plain + 0.3).sum() >= 4


def test_a_category_with_dear_switches_is_priced() -> None:
    model, queries, _ = small_case([3], people=PEOPLE)
    schema = queries[0].actions.schema
    dear = schema.with_features(replace(schema["job"], weight=2.5), replace(schema["home"], weight=0.1))
    encoding = replace(queries[0].encoding, schema=dear)
    ask = RecourseQuery(queries[0].values, encoding, replace(queries[0].actions, schema=dear))
    rules = Rules.read(dear, frame(dear, queries[0].values))
    ends = {f.name: (ask.actions.low[i], ask.actions.high[i]) for i, f in enumerate(dear.features) if not f.is_category}
    scale = {f.name: ask.actions.scales[i] for i, f in enumerate(dear.features) if not f.is_category}
    best = np.array(enumerated(model, 0, ask, replace(rules, ends=ends, scale=scale)))
    assert_proved(find_recourse(model, [ask], Exact(warm=Nothing()), KAPPA), best)
