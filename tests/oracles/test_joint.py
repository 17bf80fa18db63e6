"""Joint constraints against trying everything, and against examples that others have published."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from cfq_core.actions.action_set import ActionSet, objections
from cfq_core.base.seeds import repeatable
from cfq_core.recourse.exact import Exact
from cfq_core.recourse.find import Solver, find_recourse
from cfq_core.recourse.outcome import Recourse, Why
from cfq_core.recourse.pgd import Pgd
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.recourse.robust import Worst
from cfq_core.recourse.search import Search
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Feature, Schema

from .legality import Rules, frame
from .small_cards import SmallCase, brute, small_case
from .test_search_quality import KAPPA, random_models

FEW = range(24)  # cards of the short suite
MANY, AT_A_TIME = 2000, 100  # cards of the gate, which tries each eighth hundred
EACH = int(os.environ.get("CFQ_EACH", "8"))  # 1 tries all
WITHIN, SHARE = 1.01, 0.995  # the search's promise: cost over the optimum's, and of how many


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with repeatable():
        yield


def asked(case: SmallCase, solver: Solver) -> Recourse:
    """The solver's answers, none of which may hold a cell that nobody could have been told."""
    answer = find_recourse(case.model, [case.ask], solver, KAPPA)
    before, after = (frame(case.ask.encoding.schema, rows) for rows in (answer.before, answer.after))
    assert not case.rules.violations(before, after), case.ask.encoding.schema.constraints
    np.testing.assert_allclose(case.rules.cost(before, after)[answer.has_recourse], answer.cost[answer.has_recourse])
    return answer


def misses(seed: int) -> int:
    """People of one random card whose answer by the search is not the cheapest; exact must give it to everybody."""
    case = small_case(seed, people=1)
    best = np.array([cost for cost, _ in brute(case, KAPPA)])
    exact = asked(case, Exact())
    assert exact.proved.all(), case.ask.encoding.schema.constraints
    np.testing.assert_allclose(exact.cost, best, rtol=1e-6, err_msg=str(case.ask.encoding.schema.constraints))
    assert ((exact.why == Why.NO_ACTION) == np.isinf(best)).all(), "no action can help: said where it is so"
    found = asked(case, Search())
    assert (found.cost >= best * (1 - 1e-9)).all()
    return int((~(found.cost <= best * WITHIN)).sum())


def test_the_search_equals_trying_everything_on_small_cards() -> None:
    assert sum(misses(seed) for seed in FEW) <= 1


@pytest.mark.gate
@pytest.mark.parametrize("start", range(0, MANY, AT_A_TIME * EACH))
def test_the_search_equals_trying_everything_on_many_cards(start: int) -> None:
    """A share of 0.995 of 2,000 leaves 10; a block of 100 may hold two of them."""
    assert sum(misses(seed) for seed in range(start, start + AT_A_TIME)) <= 2


@pytest.mark.parametrize("seed", [0, 4, 7, 11])
def test_gradient_steps_are_never_illegal_and_never_below_the_optimum(seed: int) -> None:
    case = small_case(seed, people=6)
    best = find_recourse(case.model, [case.ask], Exact(), KAPPA)
    assert (asked(case, Pgd()).cost >= best.cost * (1 - 1e-9)).all()


def test_an_action_for_all_variants_keeps_the_constraints() -> None:
    case = small_case(0, people=4)
    width = case.ask.encoding.width
    worst = Worst(random_models(width, (6,), range(2)), 2)
    robust = replace(case, model=worst)  # type: ignore[arg-type]
    exact, found = asked(robust, Exact()), asked(robust, Search())
    assert exact.proved.all() and (found.cost >= exact.cost * (1 - 1e-9)).all()


@pytest.mark.parametrize("regime", ["any", "immutable", "default", "strict"])
def test_every_regime_keeps_the_constraints(regime: str) -> None:
    case = small_case(2, people=5)
    schema = case.ask.encoding.schema
    schema = schema.with_features(*(replace(f, easy=k % 2 == 0) for k, f in enumerate(schema.features)))
    actions = ActionSet.fit(schema, case.ask.values, regime)
    rules = Rules.read(schema, frame(schema, case.ask.values), regime)
    asked(SmallCase(case.model, replace(case.ask, actions=actions), rules), Search())


def test_legal_and_objections_say_what_the_second_reading_says() -> None:
    for seed in FEW:
        case = small_case(seed, people=8)
        actions, before = case.ask.actions, case.ask.values
        after = actions.completed(before, np.roll(before, 1, axis=0))
        legal = actions.legal(before, after)
        old, new = (frame(actions.schema, rows) for rows in (before, after))
        for k in range(len(before)):
            broken = case.rules.violations(old.iloc[[k]], new.iloc[[k]])
            assert legal[k] == (not broken) == (not objections(actions, before[k], after[k])), broken


# ---------------------------------------------------------------------- published examples
def flags(*names: str, **of: Feature) -> tuple[Feature, ...]:
    return tuple(of.get(n, Feature(n, "integer", low=0, high=1)) for n in names)


#: The reachable sets that the tests of reachml state (github.com/ustunb/reachml, commit 2cfa8a4, MIT; Kothari and
#: others, "Prediction without preclusion", ICLR 2024), its constraints written as sentences.
PUBLISHED = {
    # test_enumeration_for_reachability_on_onehot_encoding
    "at most one flag": (
        flags("x0", "x1", "x2"), ("at most one of x0, x1, x2",),
        {x: [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)] for x in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]},
    ),
    # test_enumeration_with_overlapping
    "x1 = 0 and x2 = 1 is nobody": (
        flags("x0", "x1", "x2"), ("x2 <= x1",),
        {x: [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0), (0, 1, 1), (1, 1, 1)] for x in [(0, 0, 0), (1, 1, 1)]},
    ),
    # test_enumeration_for_reachability_on_thermometer_encoding
    "a thermometer": (
        flags("x0", "x1", "x2"), ("x1 <= x0", "x2 <= x1"),
        {x: [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)] for x in [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)]},
    ),
    # test_enumeration_for_reachability_on_ordinal_encoding_with_1step: none, x0, x1, x2 as four levels
    "one level at a time": (
        (Feature("x", "ordinal", levels=("none", "a", "b", "c")), *flags("y", y=Feature("y", "integer", move="fixed"))),
        tuple(f"if own x is {a} then x is {a} or {b}" for a, b in (("none", "a"), ("a", "b"), ("b", "c"), ("c", "c"))),
        {(0, 0): [(0, 0), (1, 0)], (1, 0): [(1, 0), (2, 0)], (2, 0): [(2, 0), (3, 0)], (3, 0): [(3, 0)]},
    ),
    # test_enumeration_with_one_target: a target that is not actionable, linked with scale 2
    "a linked column": (
        flags("x0", "x2", x2=Feature("x2", "integer", move="fixed")), ("x2 = own x2 + 2 * (x0 - own x0)",),
        {(0, -1): [(0, -1), (1, 1)], (1, 0): [(1, 0), (0, -2)], (1, 2): [(1, 2), (0, 0)], (1, 3): [(1, 3), (0, 1)]},
    ),
    # test_add_ifthen_unseen_then_value, with x1 from 0 to 4
    "if x0 then x1 is 2": (
        flags("x0", "x1", x1=Feature("x1", "integer", low=0, high=4)), ("if x0 >= 1 then x1 >= 2 and x1 <= 2",),
        {(0, 0): [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 2)]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_reachable_sets_of_reachml_are_ours(name: str) -> None:
    features, told, sets = PUBLISHED[name]
    schema = Schema("published", name, features, "yes", "no", constraints=told)
    grid = [range(4) if f.levels else range(-3, 6) for f in features]
    every = np.array(list(itertools.product(*grid)), np.int64)
    people = np.array(list(sets), np.int64)
    actions, encoding = ActionSet.fit(schema, people), Encoding.fit(schema, people)
    model = random_models(encoding.width, (4,), [1])
    for x, reachable in sets.items():
        before = np.repeat(np.array([x], np.int64), len(every), axis=0)
        assert {tuple(r) for r in every[actions.legal(before, every)].tolist()} == set(reachable)
        answer = find_recourse(model, [RecourseQuery(before[:1], encoding, actions)], Exact(), 0.0)
        assert answer.proved.all() and (not answer.has_recourse[0] or tuple(answer.after[0].tolist()) in reachable)
