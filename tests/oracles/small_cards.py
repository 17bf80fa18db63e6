"""Random small cards with joint constraints, random nets on them, and the cheapest action by trying everything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.seeds import numpy_stream
from cfq_core.nets.stack import Stack
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.tables.encode import Encoding
from cfq_core.tables.schema import Feature, Schema

from .joint_rules import Sentences
from .lattice import Network
from .legality import Rules, cell, count, frame

BLOCK = 64  # points judged at a time, in order of cost
TRAINING = 80
LARGEST = 400  # actions a person has, without constraints
DENIED = 0.6  # share of the people made
NEAR = 0.2  # share from whom those who ask are drawn: not far from approval, so that most have an action

FEATURES = (
    Feature("pay", "number", step=0.5, low=0.0, high=4.0),
    Feature("debt", "integer", move="down", low=0, high=6),
    Feature("gain", "integer", move="up", low=0, high=6, log=True),
    Feature("job years", "integer", low=0, high=5),
    Feature("school", "ordinal", levels=("none", "some", "much", "all"), move="up"),
    Feature("home", "category", levels=("rent", "own", "free", "with family"), never=("with family",)),
    Feature("job", "category", levels=("a", "b", "c"), weight=0.5),
    Feature("phone", "integer", low=0, high=1),
    Feature("car", "integer", low=0, high=1),
)
AGE = Feature("age", "integer", move="fixed", protected=True)
LIMIT = Feature("limit", "number", step=0.5, move="fixed", immutable=True)
RATIO = Feature("ratio", "number", step=0.1, move="fixed")
TOTAL = Feature("total", "number", step=0.5, move="fixed", high=9.0)
STILL = (AGE, LIMIT, RATIO, TOTAL)
TOPS = {
    "pay": 9, "debt": 7, "gain": 7, "job years": 6, "school": 4, "home": 4, "job": 3, "phone": 2, "car": 2,
    "age": 30, "limit": 13, "ratio": 20, "total": 20,
}  # fmt: skip

TEXT = """
    ratio = debt / gain
    ratio = (debt + 1) / (pay + 1)
    ratio = "job years" / 2 - gain
    total = pay + 2 * debt
    total = pay * gain
    age rises by 2 with school
    age rises by 1 with gain
    age falls by 3 with phone
    ratio <= 0.8
    ratio >= own ratio - 0.5
    total <= limit
    total < own total + 3
    debt <= gain
    pay + gain <= 6
    pay * 2 >= gain
    gain - debt < "job years" + 2
    pay / gain <= "job years"
    gain <= own limit
    debt >= 1 + own phone
    pay < limit
    pay >= limit - 2
    if school rises then gain >= +2
    if school changes to much or all then gain >= 2
    if home is own then pay >= 2
    if home is not rent then debt <= 2 and gain >= 1
    if job changes then gain >= +1
    if home changes to own and debt > 1 then pay <= 1.5
    if school >= much then job is b or c
    if own home is rent then home is rent or own
    if own home is "with family" then home is "with family" or rent
    if own job is a then job is a or c
    if own school is none then school is none or some
    home is not free
    at most one of phone, car
    at most one of home is own, school is all, job is c
    at most one of phone, gain > 3
    pay changes by at most 20%
    pay changes by at most 50%
    debt changes by at most 2
    gain changes by at most 40%
    if debt falls then pay <= 2
    age <= 25
    if phone falls then car rises
    """
TEMPLATES = tuple(line.strip() for line in TEXT.strip().splitlines())


@dataclass(frozen=True)
class SmallCase:
    """A card, one random net and the people who ask it."""

    model: Stack
    ask: RecourseQuery
    rules: Rules


def small_schema(seed: int) -> Schema:
    """Three to five movable features and one to four constraints on them."""
    random = numpy_stream(seed, "tests/cards")
    while True:
        chosen = sorted(random.choice(len(FEATURES), int(random.integers(3, 6)), replace=False))
        features = (*(FEATURES[i] for i in chosen), *STILL)
        names = {f.name for f in features}
        told: list[str] = []
        for k in random.permutation(len(TEMPLATES)):
            if len(told) < random.integers(1, 5) and _names(TEMPLATES[k]) <= names and _new(told, TEMPLATES[k]):
                told.append(TEMPLATES[k])
        if told and np.prod([TOPS[FEATURES[i].name] for i in chosen]) <= LARGEST:
            return Schema("small", "A small card", features, "yes", "no", constraints=tuple(told))


def _names(text: str) -> set[str]:
    return {f.name for f in (*FEATURES, *STILL) if f.name in text and f" or {f.name}" not in text}


def _new(told: list[str], text: str) -> bool:
    """A column follows by one sentence."""
    return " = " not in text or all(t.split(" = ")[0] != text.split(" = ")[0] for t in told)


def small_case(seed: int, people: int, hidden: tuple[int, ...] = (8, 6)) -> SmallCase:
    """A card, people whose columns follow as it says, and a net that denies most of them."""
    from .test_search_quality import random_models

    schema = small_schema(seed)
    random = numpy_stream(seed, "tests/cards/people")
    values = np.stack([random.integers(0, TOPS[f.name], TRAINING) for f in schema.features], axis=1)
    values = _following(schema, values)
    encoding, actions = Encoding.fit(schema, values), ActionSet.fit(schema, values)
    model = random_models(encoding.width, hidden, [seed])
    at = Network.of(model, 0).logits(encoding, values)
    last = model.biases[-1] - float(np.quantile(at, DENIED))
    model = replace(model, biases=(*model.biases[:-1], last))
    nearest = np.argsort(-at, kind="stable")
    nearest = nearest[at[nearest] < np.quantile(at, DENIED)][: int(NEAR * TRAINING)]
    asked = values[random.permutation(nearest)[:people]]
    return SmallCase(model, RecourseQuery(asked, encoding, actions), Rules.read(schema, frame(schema, values)))


def _following(schema: Schema, values: np.ndarray) -> np.ndarray:
    """The same people with what follows by a formula put in place, where there is a value."""
    sentences, rows = Sentences(schema), frame(schema, values).to_dict("records")
    values = values.copy()
    for name, sources in sentences.followers().items():
        i = [f.name for f in schema.features].index(name)
        for k, row in enumerate(rows):
            other = {**row, **{s: "?" if isinstance(row[s], str) else row[s] + 1e6 for s in sources}}
            try:
                value = sentences._followed(name, sources, other, row)
            except ValueError:
                value = None
            if value is not None and any(t.startswith(f"{name} = ") for t in schema.constraints):
                values[k, i] = count(schema.features[i], value)
                row[name] = value
    return values


def brute(case: SmallCase, kappa: float) -> list[tuple[float, int]]:
    """Of every person the least cost of an allowed action with logit >= kappa, infinite for none; and the lattice."""
    network, encoding = Network.of(case.model, 0), case.ask.encoding
    return [
        _brute(case.rules, network, encoding, row, kappa)
        for row in frame(encoding.schema, case.ask.values).to_dict("records")
    ]


def _brute(rules: Rules, network: Network, encoding: Encoding, person: dict, kappa: float) -> tuple[float, int]:  # type: ignore[type-arg]
    features = encoding.schema.features
    choices = [rules.choices(f, person[f.name]) for f in features]
    prices = [np.zeros(1) if f.name in rules.followers else rules.price(f, person[f.name], c)
              for f, c in zip(features, choices, strict=True)]  # fmt: skip
    cost = np.array([sum(p) for p in itertools.product(*prices)])
    points = list(itertools.product(*choices))
    for block in _blocks(np.argsort(cost, kind="stable")):
        rows, costs = [], []
        for k in block:
            after = {f.name: cell(f, c) for f, c in zip(features, points[k], strict=True)}
            done = rules.sentences.completed(person, after)
            if done is not None and not rules.broken(person, done):
                rows.append([count(f, done[f.name]) for f in features])
                costs.append(cost[k])
        if rows:
            valid = np.flatnonzero(network.logits(encoding, np.array(rows, np.int64)) >= kappa)
            if len(valid):
                return float(costs[valid[0]]), len(points)
    return float("inf"), len(points)


def _blocks(order: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(order), BLOCK):
        yield order[start : start + BLOCK]
