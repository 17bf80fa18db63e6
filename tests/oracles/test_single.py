"""Intervals of hidden layers in float32 against float64 on the same lines, and exact recourse that rests on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from cfq_core.base.seeds import numpy_stream, repeatable
from cfq_core.nets.forward import walk
from cfq_core.nets.layers import architecture
from cfq_core.nets.linear import _Bounds, _Nets
from cfq_core.nets.single import Single
from cfq_core.nets.stack import Scorer, Stack, score
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.quantized import QuantStack
from cfq_core.recourse import ball as ball_module
from cfq_core.recourse.ball import Ball
from cfq_core.recourse.boxes import Space
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import find_recourse
from cfq_core.recourse.problem import RecourseQuery, build_problem

from .test_exact import KAPPA, Nothing, assert_proved, enumerated
from .test_search_quality import small_case

KINDS = ["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
CLOSE = 1e-3  # of the largest end: wider room than that would cost boxes
SHORT = "relu", "gelu"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with repeatable():
        yield


def network(kind: str, residual: bool, people: int = 8) -> tuple[Stack, list[RecourseQuery], object]:
    """A net of two hidden layers that denies most people, and those who ask it."""
    model, queries, rules = small_case([0], people)
    steep = 60 if kind == "sigmoid" else 1  # it passes a quarter of what it is given
    layers = architecture((12, 12), kind, residual)  # type: ignore[arg-type]
    model = replace(model, weights=(*model.weights[:-1], model.weights[-1] * steep), architecture=layers)
    shift = score(model, inputs(queries)).quantile(0.85)
    return replace(model, biases=(*model.biases[:-1], model.biases[-1] - shift)), queries, rules


def inputs(queries: list[RecourseQuery]) -> torch.Tensor:
    return torch.tensor(queries[0].encoding.encode(queries[0].values), dtype=torch.float32)[None]


def scorer(model: Stack, queries: list[RecourseQuery], bits: int) -> Stack | QuantStack:
    return Calibration().quantize(model, torch.full((1, 3), bits), inputs(queries)) if bits else model


def assert_holds(model: Stack | QuantStack, queries: list[RecourseQuery], rounds: int) -> None:
    """No float32 end is inside the float64 one of the same lines, nor far outside."""
    problem = build_problem(model, queries, KAPPA, torch.float64)
    random, space = numpy_stream(0, "tests/single"), Space(problem)
    boxes, compared = space.whole(torch.arange(len(problem))), 0
    for _ in range(rounds):
        budget = torch.tensor(random.uniform(0.5, 8.0, len(problem)))
        boxes = space.shrunk(boxes, budget[boxes.rows])
        ball = Ball(space, boxes, budget[boxes.rows], single=True)
        nets = _Nets(problem.model.layers, problem.run[boxes.rows])  # type: ignore[attr-defined]
        bounds = _Bounds(nets, ball)
        assert isinstance(bounds.single, Single)
        low, high = ball.ends()
        first = bounds.ends()
        assert (first[0] <= low * nets.scale).all() and (first[1] >= high * nets.scale).all()
        list(walk(nets.layers.architecture, bounds, first))
        again = nets.single(ball)
        assert again is not None
        for layer in range(len(nets.weights) - 1):
            weight, constant, _ = bounds._back(layer, both=True)
            exact, wide = ball.highest(weight) + constant, again.tops(layer, bounds.lines, bounds.sums)
            assert (wide >= exact).all() and (wide <= exact + CLOSE * (1 + exact.abs().amax())).all()
            compared += exact.numel()
        form = model.to(torch.float64).above(problem.run[boxes.rows], ball)
        boxes = space.split(boxes, ball.cheapest(form, problem.target).slope, form.blame)
    assert compared > 1000


@pytest.mark.short(*SHORT)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("bits", [0, 8, 4, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_float32_intervals_hold_those_of_float64(kind: str, bits: int, residual: bool) -> None:
    model, queries, _ = network(kind, residual)
    assert_holds(scorer(model, queries, bits), queries, rounds=4)


@pytest.mark.parametrize("kind", ["relu", "silu"])
def test_they_hold_on_deep_networks(kind: str) -> None:
    model, queries, _ = small_case([0], people=8)
    deep = Stack.initial(model.weights[0].shape[2], (24, 24, 24, 24), [3])
    deep = replace(deep, architecture=architecture((24,) * 4, kind, residual=True))  # type: ignore[arg-type]
    assert_holds(replace(deep, weights=tuple(4 * w for w in deep.weights)), queries, rounds=3)


@pytest.mark.short("short")
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("bits", "length"), [(0, "short"), (8, "long"), (4, "long"), (2, "long")])
def test_exact_recourse_that_rests_on_them_equals_enumeration(
    kind: str, bits: int, residual: bool, length: str
) -> None:
    model, queries, rules = network(kind, residual, people=4 if length == "short" else 8)
    of: Scorer = scorer(model, queries, bits)
    best = np.array(enumerated(of, 0, queries[0], rules))  # type: ignore[arg-type]
    assert_proved(find_recourse(of, queries, Exact(warm=Nothing(), boxes=10**6), KAPPA), best)


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("bits", [0, 4])
def test_exact_recourse_of_one_hidden_layer_equals_enumeration(
    runs: int, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ball_module, "NEAR", 0.0)  # steps on the slopes of every box
    model, queries, rules = small_case(range(runs), people=8)
    model = Stack((model.weights[0], model.weights[-1] * 3), (model.biases[0], model.biases[-1]))
    given = torch.cat([inputs([ask]) for ask in queries])
    model = replace(model, biases=(model.biases[0], model.biases[-1] - score(model, given).quantile(0.85)))
    of: Scorer = Calibration().quantize(model, torch.full((runs, 2), bits), given) if bits else model
    best = np.concatenate([enumerated(of, run, ask, rules) for run, ask in enumerate(queries)])
    assert np.isfinite(best).any()
    assert_proved(find_recourse(of, queries, Exact(warm=Nothing(), enumerated=4), KAPPA), best)


@pytest.mark.parametrize("kind", ["relu", "tanh"])
def test_one_hidden_layer_is_proved_as_enumeration_finds(kind: str) -> None:
    model, queries, rules = small_case([0], people=8)
    one = Stack.initial(model.weights[0].shape[2], (12,), [3])
    one = replace(one, weights=tuple(3 * w for w in one.weights), architecture=architecture((12,), kind))  # type: ignore[arg-type]
    one = replace(one, biases=(one.biases[0], one.biases[1] - score(one, inputs(queries)).quantile(0.85)))
    best = np.array(enumerated(one, 0, queries[0], rules))  # type: ignore[arg-type]
    assert_proved(find_recourse(one, queries, Exact(warm=Nothing(), boxes=10**6, enumerated=1), KAPPA), best)


def test_a_bound_that_is_not_a_number_is_an_error() -> None:
    model, queries, _ = network("relu", residual=False)
    huge = replace(model, weights=tuple(w * 1e30 for w in model.weights))  # float32 has no such number
    with pytest.raises(ArithmeticError, match="not a number"):
        find_recourse(huge, queries, Exact(warm=Nothing()), KAPPA)


def test_shorter_products_are_not_trusted() -> None:
    model, queries, _ = network("relu", residual=False)
    problem = build_problem(model, queries, KAPPA, torch.float64)
    space = Space(problem)
    boxes = space.whole(torch.arange(len(problem)))
    ball = Ball(space, boxes, torch.full((len(boxes),), 4.0), single=True)
    nets = _Nets(problem.model.layers, problem.run)  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high")
    try:
        assert nets.single(ball) is None
    finally:
        torch.set_float32_matmul_precision("highest")
