"""The search against sure answers: enumeration, HiGHS, and a second reading of the rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch

from cfq_core.actions.action_set import ActionSet
from cfq_core.base import plugins
from cfq_core.base.seeds import numpy_stream, repeatable, torch_stream
from cfq_core.datasets.fetch import FILES, on_disk
from cfq_core.nets.stack import Stack
from cfq_core.recourse.best_known import BestKnown
from cfq_core.recourse.find import find_recourse, logits64
from cfq_core.recourse.outcome import Recourse, Why
from cfq_core.recourse.pgd import Pgd
from cfq_core.recourse.problem import Points, Problem, RecourseQuery
from cfq_core.recourse.relaxed import Relaxed
from cfq_core.recourse.rescue import rescue
from cfq_core.recourse.search import Search
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Feature, Schema, Table
from cfq_core.tables.split import split
from cfq_core.training.loop import Fold, TeacherTraining, train_teachers

from . import lattice, milp
from .legality import Rules, frame

KAPPA = 0.2  # logits
FOUND, MEAN = 0.99, 1.01  # the search's promise: share found, mean cost over the optimum's
ROUNDING = 1e-9  # of a cost
REGIMES = ("default", "any", "immutable", "strict")
DATA_SETS = plugins.names("datasets")


@pytest.fixture(autouse=True)
def one_thread():
    with repeatable():
        yield


# ---------------------------------------------------------------------- people to ask for


def needs(name: str) -> None:
    """Skips where the published table is not on disk."""
    missing = [f.name for f in FILES.get(name, ()) if on_disk(f) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} of {name} not on disk: set CFQ_DATA_DIR")


@dataclass(frozen=True)
class Case:
    """One model, the people who ask it, and the rules read from the raw training rows."""

    model: Stack
    ask: RecourseQuery
    rules: Rules

    def answer(self, solver: Search | Pgd | None = None) -> Recourse:
        return find_recourse(self.model, [self.ask], solver or Search(), KAPPA)


@cache
def table(name: str) -> Table:
    needs(name)
    return plugins.load("datasets", name).load()


@cache
def taught(name: str, hidden: tuple[int, ...], epochs: int) -> tuple[Stack, Encoding]:
    rows = table(name)
    parts = split(rows, 0)
    encoding = Encoding.fit(rows.schema, rows.values[parts.train])
    train, valid = (
        Fold(
            torch.tensor(encoding.encode(rows.values[part]), dtype=torch.float32)[None],
            torch.tensor(rows.outcome[part], dtype=torch.float32)[None],
        )
        for part in (parts.train, parts.valid)
    )
    how = TeacherTraining(epochs=epochs, rows_per_step=256 if len(rows) > 10_000 else 64)
    return train_teachers(Stack.initial(encoding.width, hidden, [0]), train, valid, [0], how), encoding


def denied(name: str, people: int, hidden: tuple[int, ...], epochs: int = 20, regime: str = "default") -> Case:
    """Test people whom a quickly taught model denies."""
    model, encoding = taught(name, hidden, epochs)
    rows = table(name)
    parts = split(rows, 0)
    refused = parts.test[logits64(model, 0, encoding, rows.values[parts.test]) <= 0]
    chosen = rows.values[numpy_stream(0, "tests/people").permutation(refused)[:people]]
    training = rows.values[parts.train]
    actions = ActionSet.fit(rows.schema, training, regime)
    return Case(
        model, RecourseQuery(chosen, encoding, actions), Rules.read(rows.schema, frame(rows.schema, training), regime)
    )


SMALL = Schema(
    "small", "A small lattice", favourable="yes", unfavourable="no",
    features=(
        Feature("pay", "number", step=0.5, low=0.0, high=8.0),
        Feature("fixed", "number", step=0.25, move="fixed", immutable=True),
        Feature("debt", "integer", move="down", low=0, high=9),
        Feature("gain", "integer", move="up", low=0, high=12, log=True),
        Feature("school", "ordinal", levels=("none", "some", "much", "all"), move="up"),
        Feature("job", "category", levels=("a", "b", "c", "d"), never=("d",)),
        Feature("home", "category", levels=("rent", "own", "free"), move="up", weight=0.5),
        Feature("sex", "category", levels=("F", "M"), protected=True, move="fixed"),
    ),
)  # fmt: skip


def small_people(rows: int, seed: int) -> np.ndarray:
    random = numpy_stream(seed, "tests/small")
    columns = [random.integers(0, top, rows) for top in (17, 12, 10, 13, 4, 4, 3, 2)]
    return np.stack(columns, axis=1)


def random_models(width: int, hidden: tuple[int, ...], seeds: Sequence[int]) -> Stack:
    """Nets of random weights and biases."""
    stack = Stack.initial(width, hidden, seeds)
    biases = tuple(
        torch.stack([torch.randn(b.shape[1], generator=torch_stream(s, f"tests/bias/{i}")) for s in seeds])
        for i, b in enumerate(stack.biases)
    )
    return replace(stack, biases=biases)


def small_case(seeds: Sequence[int], people: int = 40) -> tuple[Stack, list[RecourseQuery], Rules]:
    """Random nets on the small lattice: they deny most people."""
    training = small_people(300, 99)
    encoding, actions = Encoding.fit(SMALL, training), ActionSet.fit(SMALL, training)
    model = random_models(encoding.width, (12, 12), seeds)
    logits = [logits64(model, r, encoding, training) for r in range(len(seeds))]
    lower = torch.tensor([[float(np.quantile(q, 0.85))] for q in logits])
    model = replace(model, biases=(*model.biases[:-1], (model.biases[-1] - lower).float()))
    queries = [RecourseQuery(small_people(people, s), encoding, actions) for s in seeds]
    return model, queries, Rules.read(SMALL, frame(SMALL, training))


def optima(model: Stack, queries: Sequence[RecourseQuery], rules: Rules) -> list[lattice.Optimum]:
    schema = queries[0].encoding.schema
    return [
        best
        for run, ask in enumerate(queries)
        for best in lattice.optima(model, run, ask.encoding, rules, frame(schema, ask.values), KAPPA)
    ]


def assert_near_optimal(answer: Recourse, optimum: np.ndarray) -> None:
    """Never below the optimum; found where there is one; cost close in the mean."""
    exists = np.isfinite(optimum)
    assert not (answer.has_recourse & ~exists).any(), "an action where none exists"
    assert (answer.cost >= optimum - ROUNDING)[answer.has_recourse].all(), "cheaper than the optimum"
    assert answer.has_recourse.sum() >= FOUND * exists.sum(), f"found {answer.has_recourse.sum()} of {exists.sum()}"
    assert answer.cost[answer.has_recourse].mean() <= MEAN * optimum[answer.has_recourse].mean()
    assert not (answer.why[exists] == Why.NO_ACTION).any(), "no action is claimed where there is one"


# ---------------------------------------------------------------------- against the optimum


def test_search_is_near_the_enumerated_optimum_on_small_lattices():
    model, queries, rules = small_case(range(6))
    best = optima(model, queries, rules)
    assert 0.1 < np.mean([math.isinf(b.cost) for b in best]) < 0.9, "both kinds of people"
    assert_near_optimal(find_recourse(model, queries, Search(), KAPPA), np.array([b.cost for b in best]))


@pytest.mark.gate
def test_search_is_near_the_enumerated_optimum_on_adult():
    case = denied("adult", 40, (32, 32), epochs=4)
    best = optima(case.model, [case.ask], case.rules)
    assert_near_optimal(case.answer(), np.array([b.cost for b in best]))


@pytest.mark.gate
@pytest.mark.parametrize("name", ["german", "compas"])
def test_search_is_near_the_optimum_of_the_integer_program(name):
    case = denied(name, 15, (16, 16))
    answer = case.answer()
    network, people = lattice.Network.of(case.model, 0), frame(table(name).schema, case.ask.values)
    sure, cost = [], []
    for (_, person), known in zip(people.iterrows(), answer.cost, strict=True):
        program = milp.Person.of(network, case.ask.encoding, case.rules, person)
        found = milp.least_cost(program, KAPPA, float(known), seconds=5.0)
        sure.append(found.status == "proved")
        cost.append(found.cost)
    assert np.mean(sure) >= 0.8, "the oracle decides too few"
    mine, best = answer.cost[sure], np.array(cost)[sure]
    assert (mine >= best * (1 - milp.CLOSE) - milp.CLOSE).all()
    assert np.isfinite(mine).sum() >= FOUND * np.isfinite(best).sum()
    if name == "compas":  # a day in jail is a whole unit of cost: its mean is a few people's
        assert np.median(mine / best) == pytest.approx(1.0, abs=milp.CLOSE)
    else:
        assert mine[np.isfinite(mine)].mean() <= MEAN * best[np.isfinite(best)].mean()


def test_the_two_oracles_agree():
    linear = Schema("linear", "", tuple(replace(f, log=False) for f in SMALL.features), "yes", "no")
    training, people = small_people(300, 99), small_people(25, 5)
    encoding, rules = Encoding.fit(linear, training), Rules.read(linear, frame(linear, training))
    model = random_models(encoding.width, (6, 6), [3])
    for (_, person), best in zip(
        frame(linear, people).iterrows(),
        lattice.optima(model, 0, encoding, rules, frame(linear, people), KAPPA),
        strict=True,
    ):
        program = milp.Person.of(lattice.Network.of(model, 0), encoding, rules, person)
        found = milp.least_cost(program, KAPPA)
        assert found.status == "proved"
        assert found.cost == pytest.approx(best.cost, abs=1e-5)


@pytest.mark.parametrize("steps", [20, 50])
def test_pgd_is_never_cheaper_than_the_optimum(steps):
    model, queries, rules = small_case(range(3))
    best = np.array([b.cost for b in optima(model, queries, rules)])
    answer = find_recourse(model, queries, Pgd(steps=steps), KAPPA)
    assert answer.has_recourse.any()
    assert (answer.cost >= best - ROUNDING).all()


# ---------------------------------------------------------------------- legality


@pytest.mark.short("toy", "german")
@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("name", DATA_SETS)
def test_every_answer_is_legal_and_priced_as_the_raw_rows_say(name, regime):
    case = denied(name, 40, (16, 16), epochs=4, regime=regime)
    answer = case.answer()
    schema = table(name).schema
    before, after = frame(schema, answer.before), frame(schema, answer.after)
    assert answer.has_recourse.any()
    assert case.rules.violations(before, after) == []
    np.testing.assert_allclose(
        case.rules.cost(before, after)[answer.has_recourse], answer.cost[answer.has_recourse], rtol=1e-9
    )


@pytest.mark.short("toy", "german")
@pytest.mark.parametrize("name", DATA_SETS)
def test_features_that_cannot_move_keep_every_bit(name):
    case = denied(name, 40, (16, 16), epochs=4)
    answer = case.answer()
    fixed = [i for i, f in enumerate(table(name).schema.features) if f.protected or f.immutable or f.move == "fixed"]
    assert (answer.after[:, fixed] == answer.before[:, fixed]).all()
    encoding = case.ask.encoding
    columns = [c for i in fixed for c in range(encoding.starts[i], [*encoding.starts, encoding.width][i + 1])]
    old, new = encoding.encode(answer.before)[:, columns], encoding.encode(answer.after)[:, columns]
    assert old.tobytes() == new.tobytes()
    assert (answer.before == case.ask.values).all()


# ---------------------------------------------------------------------- laws of the public call


def test_the_promised_margin_is_met_in_float64():
    model, queries, _ = small_case(range(4))
    for kappa in (0.0, 0.2, 1.0):
        answer = find_recourse(model, queries, Search(), kappa)
        for run, ask in enumerate(queries):
            mine = answer.of(run)
            logits = lattice.Network.of(model, run).logits(ask.encoding, mine.after)
            assert (logits[mine.has_recourse] >= max(kappa, lattice.LEAST_LOGIT)).all()
            np.testing.assert_allclose(mine.margin[mine.has_recourse], logits[mine.has_recourse], atol=1e-12)


def test_models_asked_together_answer_as_each_alone():
    model, queries, _ = small_case([0, 1, 2])
    together = find_recourse(model, queries, Search(), KAPPA)
    for run, ask in enumerate(queries):
        alone = find_recourse(model.take([run]), [ask], Search(), KAPPA)
        assert (together.of(run).after == alone.after).all()
        assert together.of(run).cost.tobytes() == alone.cost.tobytes()


class OnlyRelaxed:
    """The gradient search without the stages that would mend its answers."""

    def best(self, problem: Problem, feasible: torch.Tensor) -> Points:
        best_known = BestKnown(problem)
        Relaxed().improve(problem, best_known)
        return best_known.points


class OnlyRescue:
    """The climb from several starts, for everybody."""

    def best(self, problem: Problem, feasible: torch.Tensor) -> Points:
        best_known = BestKnown(problem)
        rescue(problem, best_known, best_known.cost.isinf().nonzero()[:, 0], restarts=4)
        return best_known.points


@pytest.mark.parametrize("solver", [Search(), OnlyRelaxed(), OnlyRescue(), Pgd()], ids=lambda s: type(s).__name__)
def test_an_answer_does_not_depend_on_who_else_asks(solver):
    model, queries, _ = small_case([0, 1], people=60)
    everybody = find_recourse(model, queries, solver, KAPPA)
    some = [replace(ask, values=ask.values[k :: 3 + k]) for k, ask in enumerate(queries)]
    few = find_recourse(model, some, solver, KAPPA)
    for k in range(len(queries)):
        assert (few.of(k).after == everybody.of(k).after[k :: 3 + k]).all()


@pytest.mark.gate
def test_an_answer_does_not_depend_on_who_else_asks_on_adult():
    case = denied("adult", 200, (32, 32), epochs=4)
    everybody = case.answer()
    few = replace(case, ask=replace(case.ask, values=case.ask.values[7:40:3])).answer()
    assert (few.after == everybody.after[7:40:3]).all()


def test_who_is_approved_with_the_margin_already_pays_nothing():
    model, queries, _ = small_case([0], people=200)
    answer = find_recourse(model, queries, Search(), KAPPA)
    approved = logits64(model, 0, queries[0].encoding, queries[0].values) >= KAPPA
    assert approved.any()
    assert (answer.cost[approved] == 0).all()
    assert (answer.after[approved] == answer.before[approved]).all()
    assert (answer.cost[~approved] > 0).all()


@pytest.mark.parametrize("solver", [Search(), Pgd()])
def test_a_model_that_approves_nobody_gives_a_reason(solver):
    model, queries, _ = small_case([0])
    never = replace(model, biases=(*model.biases[:-1], model.biases[-1] - 1000.0))
    answer = find_recourse(never, queries, solver, KAPPA, approves=[False])
    assert not answer.has_recourse.any()
    assert np.isin(answer.why, [Why.NO_ACTION, Why.NEVER_APPROVES]).all()
    assert np.isinf(answer.cost).all()
    assert np.isnan(answer.margin).all()
    assert (answer.after == answer.before).all()


def test_who_cannot_move_has_no_action():
    training = small_people(300, 99)
    others = [f for f in SMALL.features if f.name not in ("gain", "school")]
    schema = SMALL.with_features(*(replace(f, move="fixed") for f in others))
    encoding, actions = Encoding.fit(schema, training), ActionSet.fit(schema, training)
    people = small_people(50, 1)
    people[:, 3], people[:, 4] = 12, 3  # at the top of both ladders
    model = random_models(encoding.width, (12, 12), [0])
    answer = find_recourse(model, [RecourseQuery(people, encoding, actions)], Search(), KAPPA)
    approved = logits64(model, 0, encoding, people) >= KAPPA
    assert (~approved).any()
    assert (answer.why == np.where(approved, Why.FOUND, Why.NO_ACTION)).all()
    assert (answer.after == people).all()


def test_no_action_is_only_said_where_none_exists():
    model, queries, rules = small_case(range(3))
    best = np.array([b.cost for b in optima(model, queries, rules)])
    for solver in (Search(), Pgd()):
        assert np.isinf(best[find_recourse(model, queries, solver, KAPPA).why == Why.NO_ACTION]).all()


@pytest.mark.parametrize("solver", [Search(), Pgd()])
def test_no_action_is_said_of_exactly_those_who_have_none_where_bounds_are_exact(solver):
    others = [f for f in SMALL.features if f.name != "debt"]
    schema = SMALL.with_features(*(replace(f, move="fixed") for f in others))
    training, people = small_people(300, 99), small_people(200, 7)
    encoding, actions = Encoding.fit(schema, training), ActionSet.fit(schema, training)
    rules = Rules.read(schema, frame(schema, training))
    weight = 0.3 * torch.randn(1, 1, encoding.width, generator=torch_stream(0, "tests/neuron"))
    weight[0, 0, encoding.starts[2]] = -1.0  # less debt is better; one number and one neuron: exact intervals
    model = Stack((weight, torch.ones(1, 1, 1)), (torch.full((1, 1), 2.0), torch.full((1, 1), -3.0)))
    best = np.array([b.cost for b in lattice.optima(model, 0, encoding, rules, frame(schema, people), KAPPA)])
    answer = find_recourse(model, [RecourseQuery(people, encoding, actions)], solver, KAPPA)
    assert np.isinf(best).any()
    assert (np.isfinite(best) & (best > 0)).any()
    assert ((answer.why == Why.NO_ACTION) == np.isinf(best)).all()
