"""Every allocator: the budget is never exceeded, and fewer than two bits is refused."""

from __future__ import annotations

import inspect
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfq_core import pipeline
from cfq_core.allocators.knapsack import cheapest_plan, fullest_plan
from cfq_core.base import plugins
from cfq_core.base.errors import BadPlan
from cfq_core.base.seeds import repeatable
from cfq_core.methods.method import Allocator
from cfq_core.quant.bits import average_bits, bit_cost
from cfq_core.quant.calibrate import Calibration
from cfq_core.quant.grid import WEIGHT_BITS
from cfq_core.quant.training_data import TrainingData

BUDGETS = (2.0, 2.01, 2.5, 3.0, 3.3, 4.7, 6.0, 7.99, 8.0)
CHOICES = (2, 3, 4, 8)


def learns(name: str) -> bool:
    """Whether an allocator's bits are learned with the task."""
    return getattr(plugins.load("allocators", name), "learns_bits", False)


every_allocator = pytest.mark.parametrize("name", plugins.names("allocators"))
by_sizes = [
    n for n, a in plugins.load_all("allocators").items()
    if hasattr(a, "plan") and list(inspect.signature(a.plan).parameters)[:2] == ["sizes", "budget"]
]  # fmt: skip

sizes_of_layers = st.lists(st.integers(1, 5000), min_size=1, max_size=9)
budgets = st.floats(2.0, 8.0) | st.sampled_from(WEIGHT_BITS).map(float)


@pytest.fixture(scope="module")
def data(cell) -> TrainingData:  # type: ignore[no-untyped-def]
    return pipeline.training_data_of(cell.promises)


@every_allocator
def test_plans_keep_to_every_budget_for_every_teacher(name: str, data: TrainingData) -> None:
    allocator = plugins.load("allocators", name)
    assert isinstance(allocator, Allocator)
    with repeatable():
        plans = allocator.plans(data, Calibration(), BUDGETS)
    assert len(plans) == len(BUDGETS) * data.teachers.runs
    for plan, budget in zip(plans, BUDGETS * data.teachers.runs, strict=True):
        assert len(plan) == len(data.teachers.sizes)
        assert all(type(b) is int and b in WEIGHT_BITS for b in plan), plan
        assert average_bits(plan, data.teachers.sizes) <= budget, (plan, budget)


@pytest.mark.parametrize("name", [n for n in plugins.names("allocators") if learns(n)])
def test_learned_bits_spend_the_budget(name: str, data: TrainingData) -> None:
    """At least 97 % of it wherever a plan that full exists, else as much as any plan does; by trying every plan."""
    sizes = data.teachers.sizes
    with repeatable():
        plans = plugins.load("allocators", name).plans(data, Calibration(), BUDGETS)
    spent_by_any = sorted(average_bits(p, sizes) for p in product(CHOICES, repeat=len(sizes)))
    for plan, budget in zip(plans, BUDGETS * data.teachers.runs, strict=True):
        fullest = max(s for s in spent_by_any if s <= budget)
        assert average_bits(plan, sizes) >= min(0.97 * budget, fullest) - 1e-9, (plan, budget)


@every_allocator
def test_a_budget_is_not_left_unspent(name: str, data: TrainingData) -> None:
    """With the most bits on offer an allocator that still gives two to every layer decides nothing."""
    with repeatable():
        plans = plugins.load("allocators", name).plans(data, Calibration(), (8.0,))
    assert all(average_bits(plan, data.teachers.sizes) > 2 for plan in plans)


@every_allocator
@pytest.mark.parametrize("budget", [1.99, 1.0, 0.0, -3.0])
def test_fewer_than_two_bits_is_refused(name: str, budget: float, data: TrainingData) -> None:
    with pytest.raises(BadPlan, match=f"{budget:g} bits per weight; at least 2"):
        plugins.load("allocators", name).plans(data, Calibration(), (budget,))


@every_allocator
def test_plans_are_repeatable(name: str, data: TrainingData) -> None:
    calls = []
    for _ in range(2):
        with repeatable():
            calls.append(plugins.load("allocators", name).plans(data, Calibration(), (2.5, 4.0)))
    assert calls[0] == calls[1]


# ---------------------------------------------------------------------- allocators that look at sizes alone
@pytest.mark.parametrize("name", by_sizes)
@given(sizes=sizes_of_layers, budget=budgets)
def test_a_plan_for_any_layer_sizes_keeps_to_the_budget(name: str, sizes: list[int], budget: float) -> None:
    plan = plugins.load("allocators", name).plan(sizes, budget)
    assert len(plan) == len(sizes) and set(plan) <= set(WEIGHT_BITS)
    assert average_bits(plan, sizes) <= budget


@pytest.mark.parametrize("name", by_sizes)
@given(sizes=sizes_of_layers, budget=st.floats(-10, 2, exclude_max=True))
def test_no_plan_has_fewer_than_two_bits(name: str, sizes: list[int], budget: float) -> None:
    with pytest.raises(BadPlan, match="at least 2"):
        plugins.load("allocators", name).plan(sizes, budget)


@given(sizes=sizes_of_layers, budget=budgets)
def test_uniform_spends_all_that_whole_bits_can(sizes: list[int], budget: float) -> None:
    plan = plugins.load("allocators", "uniform").plan(sizes, budget)
    assert len(set(plan)) == 1
    assert not [b for b in WEIGHT_BITS if plan[0] < b <= budget]


# ---------------------------------------------------------------------- the knapsack behind the sensitivities


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[float]], list[int]]:
    """Sensitivities, equal ones and negative ones among them, and layer sizes."""
    layers = draw(st.integers(1, 4))
    value = st.floats(-5, 100, allow_nan=False) | st.sampled_from([0.0, 1.0])
    row = st.lists(value, min_size=len(CHOICES), max_size=len(CHOICES))
    rows = draw(st.lists(row, min_size=layers, max_size=layers))
    return rows, draw(st.lists(st.integers(1, 40), min_size=layers, max_size=layers))


@given(tables(), budgets)
def test_the_knapsack_finds_what_trying_every_plan_finds(made: tuple, budget: float) -> None:
    rows, sizes = made
    plan = cheapest_plan(rows, CHOICES, sizes, budget)
    assert bit_cost(plan, sizes) <= budget * sum(sizes) + 1e-6

    def total(p: tuple[int, ...]) -> float:
        return sum(rows[i][CHOICES.index(b)] for i, b in enumerate(p))

    possible = [p for p in product(CHOICES, repeat=len(sizes)) if average_bits(p, sizes) <= budget]
    assert total(plan) <= min(total(p) for p in possible) + 1e-9


@given(tables(), budgets, st.sampled_from([0.0, 0.9, 0.97, 1.0]))
def test_the_fullest_plans_best_is_what_trying_every_full_plan_finds(made: tuple, budget: float, share: float) -> None:
    rows, sizes = made

    def total(p: tuple[int, ...]) -> float:
        return sum(rows[i][CHOICES.index(b)] for i, b in enumerate(p))

    allowed = budget * sum(sizes) + 1e-6
    possible = [p for p in product(CHOICES, repeat=len(sizes)) if bit_cost(p, sizes) <= allowed]
    least = min(share * budget * sum(sizes) - 1e-6, max(bit_cost(p, sizes) for p in possible))
    full = [p for p in possible if bit_cost(p, sizes) >= least]
    plan = fullest_plan(rows, CHOICES, sizes, budget, share)
    assert plan in full
    assert total(plan) <= min(total(p) for p in full) + 1e-9


@given(sizes_of_layers, budgets)
def test_a_knapsack_plan_keeps_to_the_budget_to_the_last_bit(sizes: list[int], budget: float) -> None:
    more_is_better = [[3.0, 2.0, 1.0, 0.0]] * len(sizes)
    assert average_bits(cheapest_plan(more_is_better, CHOICES, sizes, budget), sizes) <= budget


@given(sizes_of_layers)
def test_ties_go_to_fewer_bits(sizes: list[int]) -> None:
    indifferent = [[1.0] * len(CHOICES)] * len(sizes)
    assert cheapest_plan(indifferent, CHOICES, sizes, 8.0) == (2,) * len(sizes)
