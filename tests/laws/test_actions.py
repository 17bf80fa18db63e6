"""What a person can do, and what it costs, for any schema."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cfq_core.actions.action_set import ActionSet
from cfq_core.actions.regimes import REGIMES, under
from cfq_core.base.errors import BadPlan, BadTable
from cfq_core.tables.schema import Feature, Schema

from .people import People, people

#: From the tightest regime to the loosest.
NESTED = ("strict", "default", "immutable", "any")
regimes = st.sampled_from(NESTED)


def _actions(made: People, regime: str = "any") -> ActionSet:
    """The action set of a regime; examples in which nothing can move are not about actions."""
    try:
        return ActionSet.fit(made.schema, made.values, regime)
    except BadTable:
        assume(False)
        raise


def _reasons(actions: ActionSet, before: np.ndarray, after: np.ndarray) -> list[str]:
    """Why one person cannot go there, read from the schema feature by feature."""
    found = []
    for i, f in enumerate(actions.schema.features):
        old, new = int(before[i]), int(after[i])
        if old == new:
            continue
        if f.move == "fixed":
            found.append(f"{f.name} is fixed")
        elif f.is_category:
            outside = f.levels[old] in f.never
            if not 0 <= new < len(f.levels) or f.levels[new] in f.never:
                found.append(f"{f.name}: nobody is sent there")
            elif not outside and ((f.move == "up" and new < old) or (f.move == "down" and new > old)):
                found.append(f"{f.name} moves {f.move}")
        else:
            if (f.move == "up" and new < old) or (f.move == "down" and new > old):
                found.append(f"{f.name} moves {f.move}")
            if not min(old, actions.low[i]) <= new <= max(old, actions.high[i]):
                found.append(f"{f.name} is out of bounds")
    return found


@given(people(), regimes)
def test_the_box_holds_ones_own_value_and_is_monotone(made: People, regime: str) -> None:
    actions = _actions(made, regime)
    for i, f in enumerate(actions.schema.features):
        if f.is_category:
            continue
        own = made.values[:, i]
        low, high = actions.box(i, made.values)
        assert ((low <= own) & (own <= high)).all()
        if f.move in ("up", "fixed"):
            np.testing.assert_array_equal(low, own)
        if f.move in ("down", "fixed"):
            np.testing.assert_array_equal(high, own)


@given(people(), regimes)
def test_ones_own_level_is_reachable_and_a_level_of_never_is_not(made: People, regime: str) -> None:
    actions = _actions(made, regime)
    for i, f in enumerate(actions.schema.features):
        if not f.is_category:
            continue
        own = made.values[:, i]
        reach = actions.reachable(i, made.values)
        assert reach[np.arange(len(own)), own].all()
        for k, level in enumerate(f.levels):
            if level in f.never:
                np.testing.assert_array_equal(reach[:, k], own == k)


@given(people(far=200), people(far=200), regimes)
def test_legal_says_what_the_rules_say_feature_by_feature(made: People, other: People, regime: str) -> None:
    actions = _actions(made, regime)
    after = made.values.copy()
    width = min(after.shape[1], other.values.shape[1])
    after[:, :width] = np.where(other.values[:, :width] % 3 == 0, after[:, :width], other.values[:, :width])
    for i, f in enumerate(made.schema.features):
        if f.levels:
            after[:, i] = after[:, i] % (len(f.levels) + 1) if f.is_category else after[:, i] % len(f.levels)
    expected = [not _reasons(actions, b, a) for b, a in zip(made.values, after, strict=True)]
    np.testing.assert_array_equal(actions.legal(made.values, after), expected)


@given(people(far=300))
def test_regimes_nest(made: People) -> None:
    """Whatever a tighter regime allows, a looser one allows too."""
    after = made.values[::-1]
    allowed = np.zeros(len(after), bool)
    for regime in NESTED:
        try:
            now = ActionSet.fit(made.schema, made.values, regime).legal(made.values, after)
        except BadTable:  # nothing moves at all
            now = (made.values == after).all(1)
        assert (now | ~allowed).all(), regime
        allowed = now


@given(people(), regimes)
def test_protected_features_never_move_and_immutable_ones_only_under_any(made: People, regime: str) -> None:
    for f in under(regime, made.schema).features:
        if f.protected or (f.immutable and regime != "any"):
            assert f.move == "fixed"


@given(people())
def test_the_displacement_is_as_long_as_the_action_costs(made: People) -> None:
    actions = _actions(made)
    after = made.values[::-1]
    cost = actions.cost(made.values, after)
    np.testing.assert_allclose(np.abs(actions.displacement(made.values, after)).sum(1), cost, rtol=1e-12, atol=1e-12)


@given(people())
def test_an_action_costs_nothing_only_where_nothing_changes(made: People) -> None:
    actions = _actions(made)
    after = np.roll(made.values, 1, axis=0)
    cost = actions.cost(made.values, after)
    assert np.isfinite(cost).all() and (cost >= 0).all()
    np.testing.assert_array_equal(cost == 0, (made.values == after).all(1))


@given(people())
def test_going_back_costs_as_much_and_a_detour_never_less(made: People) -> None:
    actions = _actions(made)
    a, b, c = made.values, np.roll(made.values, 1, axis=0), np.roll(made.values, 5, axis=0)
    np.testing.assert_allclose(actions.cost(a, b), actions.cost(b, a), rtol=1e-12)
    assert (actions.cost(a, c) <= actions.cost(a, b) + actions.cost(b, c) + 1e-9).all()


@given(st.lists(st.integers(0, 10**6), min_size=3, max_size=30), st.floats(0.01, 10.0))
def test_a_logarithmic_number_is_priced_by_the_ratio(cells: list[int], ratio: float) -> None:
    feature = Feature("x", "integer", log=True)
    schema = Schema("s", "S", (feature,), "yes", "no")
    column = np.array(cells)[:, None]
    actions = ActionSet.fit(schema, column)
    more = np.rint((1 + column) * (1 + ratio)).astype(np.int64) - 1
    expected = np.abs(np.log((1 + more) / (1 + column)))[:, 0] / actions.scales[0]
    np.testing.assert_allclose(actions.cost(column, more), expected, rtol=1e-9, atol=1e-12)


def test_the_scale_is_the_median_absolute_deviation_else_the_deviation_else_one() -> None:
    schema = Schema("s", "S", tuple(Feature(n, "integer") for n in "abc"), "yes", "no")
    rows = np.array([[0, 5, 7], [2, 5, 7], [4, 5, 7], [8, 5, 7], [100, 10, 7]])
    scales = ActionSet.fit(schema, rows).scales
    assert scales == (4.0, float(np.std([5, 5, 5, 5, 10])), 1.0)


def test_bounds_are_the_cards_limits_else_the_outer_percentiles() -> None:
    features = (Feature("a", "number", step=0.1, low=0.25, high=9.99), Feature("b", "integer"))
    rows = np.stack([np.arange(1000), np.arange(1000)], axis=1)
    actions = ActionSet.fit(Schema("s", "S", features, "yes", "no"), rows)
    assert (actions.low, actions.high) == ((3, 9), (99, 990)), "limits round inwards, percentiles outwards"


def test_advice_names_changed_features_in_words_and_units() -> None:
    features = (
        Feature("income", "number", "monthly income", "kEUR", step=0.1),
        Feature("home", "category", levels=("rent", "own")),
        Feature("age", "integer", "age", "years", move="fixed"),
    )
    rows = np.array([[21, 0, 40], [30, 1, 50]])
    actions = ActionSet.fit(Schema("s", "S", features, "yes", "no"), rows)
    said = actions.advice(np.array([21, 0, 40]), np.array([1305, 1, 40]))
    assert said == ["monthly income: 2.1 kEUR -> 130.5 kEUR", "home: rent -> own"]
    assert actions.advice(rows[0], rows[0]) == []


@pytest.mark.parametrize("regime", REGIMES)
def test_a_table_in_which_nothing_can_move_is_refused(regime: str) -> None:
    schema = Schema("s", "S", (Feature("age", "integer", protected=True, move="fixed"),), "yes", "no")
    with pytest.raises(BadTable, match=f'no feature is actionable in the regime "{regime}"'):
        ActionSet.fit(schema, np.arange(4)[:, None], regime)


def test_an_unknown_regime_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadPlan, match='did you mean "strict"'):
        under("strickt", Schema("s", "S", (), "yes", "no"))


def test_every_regime_stands_in_the_nesting() -> None:
    assert set(NESTED) == set(REGIMES)
