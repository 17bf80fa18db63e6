"""What exact recourse says when its budget is spent: boxes or seconds, raised bounds, and nothing valid below them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.seeds import repeatable
from cfq_core.datasets.diabetes import Diabetes
from cfq_core.nets.stack import Stack
from cfq_core.recourse import branch
from cfq_core.recourse.branch import Known
from cfq_core.recourse.exact import Exact, Followed
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.recourse.search import Search
from cfq_core.tables.encode import Encoding

from .below import sampled
from .test_exact import KAPPA, Nothing, assert_proved
from .test_search_quality import optima, small_case


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with repeatable():
        yield


def diabetes(people: int, hidden: tuple[int, ...] = (16, 16)) -> tuple[Stack, RecourseQuery]:
    """A random net on seven movable numbers, and people it refuses."""
    table = Diabetes().load()
    encoding, actions = Encoding.fit(table.schema, table.values), ActionSet.fit(table.schema, table.values)
    model = Stack.initial(encoding.width, hidden, [1])
    model = replace(model, weights=tuple(3 * w for w in model.weights))
    logits = logits64(model, 0, encoding, table.values)
    top = float(np.quantile(logits, 0.7))
    model = replace(model, biases=(*model.biases[:-1], model.biases[-1] - top))
    refused = np.argsort(logits)[:people]
    return model, RecourseQuery(table.values[refused], encoding, actions)


def test_no_seconds_leave_the_searchs_answers_and_many_prove_everybody() -> None:
    model, queries, rules = small_case([0], people=12)
    best = np.array([b.cost for b in optima(model, queries, rules)])
    fast, none = (find_recourse(model, queries, solver, KAPPA) for solver in (Search(), Exact(seconds=0.0)))
    assert (none.cost == fast.cost).all() and (none.lower[none.cost > 0] <= best[none.cost > 0]).all()
    assert not none.proved[np.isfinite(best) & (best > 0)].any()
    assert_proved(find_recourse(model, queries, Exact(seconds=60.0, boxes=1, warm=Nothing()), KAPPA), best)


def test_seconds_end_a_proof() -> None:
    model, ask = diabetes(2, (64, 64, 32))
    answer = find_recourse(model, [ask], Exact(seconds=0.15), KAPPA)
    assert not answer.proved.all() and (answer.lower <= answer.cost).all()


def test_a_spent_budget_raises_the_lower_bound_level_by_level(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ask = diabetes(2)
    raised = find_recourse(model, [ask], Exact(boxes=40), KAPPA)
    monkeypatch.setattr(branch, "LEVELS", ())
    plain = find_recourse(model, [ask], Exact(boxes=40), KAPPA)
    assert not raised.proved.any() and (raised.lower <= raised.cost).all()
    assert (raised.lower >= plain.lower).all() and (raised.lower > plain.lower * 1.2).any()


def test_what_is_known_only_grows_while_it_is_proved() -> None:
    model, ask = diabetes(1)
    heard: list[tuple[float, float]] = []

    def tell(known: Known) -> None:
        heard.append((float(known.cost[0]), float(known.lower[0])))

    answer = find_recourse(model, [ask], Followed(Exact(boxes=600), tell), KAPPA)
    costs, lower = np.array(heard).T
    assert len(heard) > 3 and (np.diff(costs) <= 0).all() and (np.diff(lower) >= 0).all()
    assert (lower <= costs).all() and lower[-1] > lower[0] and lower[-1] <= answer.lower[0] + 1e-9


def test_no_sampled_action_below_the_bounds_is_enough() -> None:
    model, ask = diabetes(3)
    found = sampled(model, ask, find_recourse(model, [ask], Exact(boxes=200), KAPPA), KAPPA, 6_000)
    assert found.points > 10_000 and found.valid == 0


@pytest.mark.gate
@pytest.mark.parametrize("boxes", [200, 60_000])
def test_no_action_of_a_million_below_the_bounds_is_enough(boxes: int) -> None:
    model, ask = diabetes(10, (32, 32))
    found = sampled(model, ask, find_recourse(model, [ask], Exact(boxes=boxes), KAPPA), KAPPA, 150_000)
    assert found.points > 10**6 and found.valid == 0
