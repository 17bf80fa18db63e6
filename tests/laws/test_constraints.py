"""Constraints as a card writes them: what is read, what is refused in one line, and how it is said to a reader."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfq_core.actions.action_set import ActionSet, objections
from cfq_core.base.errors import BadCard, BadTable
from cfq_core.base.seeds import numpy_stream
from cfq_core.datasets.card import parse_card
from cfq_core.study.check import advice_of
from cfq_core.tables.conditions import Span
from cfq_core.tables.constraints import constraints, sentences
from cfq_core.tables.schema import Feature, Schema, Table

CARD = """
name = "houses"
title = "Houses"
csv = "houses.csv"
target = "ok"
favourable = "yes"
constraints = [ {constraints} ]
[[feature]]
name = "loan"
kind = "integer"
label = "the loan"
unit = "euros"
{loan}
[[feature]]
name = "house price"
kind = "integer"
move = "fixed"
[[feature]]
name = "ltv"
kind = "number"
step = 0.01
{ltv}
[[feature]]
name = "education"
kind = "ordinal"
levels = ["none", "some", "all"]
move = "up"
[[feature]]
name = "age"
kind = "integer"
protected = true
{age}
[[feature]]
name = "housing"
kind = "category"
{housing}
[[feature]]
name = "limit"
kind = "integer"
immutable = true
"""
KEYS = {
    "loan": 'max_change = "20%"\nhigh = "column:limit"',
    "ltv": "derive = \"loan / 'house price'\"",
    "age": "follows = {education = 2}",
    "housing": 'from = {rent = ["own"], "with family" = []}',
    "constraints": "\"if housing changes to own then education >= some and loan >= +1\", 'ltv <= 0.95'",
}


def rows(count: int = 80) -> str:
    random = numpy_stream(0, "tests/houses")
    lines = ["loan,house price,ltv,education,age,housing,limit,ok"]
    for k in range(count):
        loan, price = int(random.integers(20, 90)), int(random.integers(80, 120))
        ltv, level = round(loan / price, 2), ("none", "some", "all")[k % 3]
        home = ("rent", "own", "with family")[k % 3 - 1]
        lines.append(f"{loan},{price},{ltv},{level},{20 + k % 40},{home},{100 - k % 15},{('yes', 'no')[k % 2]}")
    return "\n".join(lines)


def read(**changed: str) -> Table:
    return parse_card(CARD.format(**{**KEYS, **changed}), rows(), "houses.toml", "houses.csv")


def test_keys_are_short_for_sentences() -> None:
    assert read().schema.constraints == (
        "loan changes by at most 20%",
        "loan <= own limit",
        "ltv = loan / 'house price'",
        "age rises by 2 with education",
        'if own housing is "rent" then housing is "rent" or "own"',
        'if own housing is "with family" then housing is "with family"',
        "if housing changes to own then education >= some and loan >= +1",
        "ltv <= 0.95",
    )


def test_every_constraint_is_a_sentence_in_the_cards_words() -> None:
    assert sentences(read().schema) == [
        "The loan changes by at most 20 % of its value.",
        "The loan is at most limit now.",
        "Ltv follows from the loan / house price.",
        "Age rises by 2 for every level that education rises.",
        "If housing is now rent, then housing is own or rent.",
        "If housing is now with family, then housing is with family.",
        "If housing changes to own, then education is some or all and the loan is at least the loan now + 1.",
        "Ltv is at most 0.95.",
    ]


def test_a_card_without_constraints_is_the_table_it_was() -> None:
    plain = {"loan": "", "ltv": 'move = "fixed"', "age": "", "housing": "", "constraints": ""}
    table = read(**plain)
    assert table.schema.constraints == ()
    fixed = parse_card(CARD.format(**{**KEYS, **plain}).replace("constraints = [  ]\n", ""), rows(), "a.toml", "b.csv")
    assert fixed.fingerprint() == table.fingerprint() != read().fingerprint()


def test_a_persons_limits_follow_their_own_row() -> None:
    table = read()
    actions = ActionSet.fit(table.schema, table.values)
    loan, limit = table.values[:, 0], table.values[:, 6]
    low, high = actions.box(0, table.values)
    np.testing.assert_array_equal(high, np.maximum(loan, np.minimum(np.floor(loan * 1.2 + 1e-9), limit)))
    assert (low >= np.ceil(loan * 0.8 - 1e-9)).all()
    reach = actions.reachable(5, table.values)
    levels = table.schema["housing"].levels
    for row, home in zip(reach, table.values[:, 5], strict=True):
        allowed = {"rent": {"rent", "own"}, "with family": {"with family"}}.get(levels[home], set(levels))
        assert {levels[k] for k in np.flatnonzero(row)} == allowed


def test_what_follows_is_moved_by_what_it_follows_and_costs_nothing() -> None:
    table = read()
    actions = ActionSet.fit(table.schema, table.values)
    before = table.values[table.values[:, 3] == 0][:1]
    after = before.copy()
    after[0, 0], after[0, 3] = before[0, 0] - 2, 2
    done = actions.completed(before, after)
    assert done[0, 4] == before[0, 4] + 4
    assert done[0, 2] == np.floor(100 * done[0, 0] / done[0, 1] + 0.5)
    only = before.copy()
    only[0, 4] += 4
    assert actions.cost(before, only)[0] == 0 and not actions.legal(before, only)[0]
    assert actions.legal(before, done)[0] and not actions.legal(before, after)[0]
    assert any("breaks: Age rises by 2" in line for line in objections(actions, before[0], after[0]))
    assert "age: 20 -> 24 (follows)" in actions.advice(before[0], done[0])


def test_advice_need_not_say_what_follows() -> None:
    table = read()
    names = [f.name for f in table.schema.features]
    row = table.frame().astype(str).replace(r"\.0$", "", regex=True).iloc[0]
    text = f"state,{','.join(names)}\nbefore,{','.join(row[n] for n in names)}\nafter,,,,all,,,\n"
    advice = advice_of(text, table.schema, "advice.csv")
    assert advice.after[0, 4] == advice.before[0, 4] + 4


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("ltv", 'derive = "loan / prise"', 'feature "prise"; one of'),
        ("ltv", 'derive = "loan * 2"', "derive gives other values than the table has in 80 of 80 rows"),
        ("ltv", 'derive = "loan / education"', '"education" has levels and cannot be computed with'),
        ("ltv", "derive = \"loan / 'house price'\"\nmove = \"up\"", "must be left out, because the column follows"),
        ("ltv", 'derive = "ltv + 0"', "follows from itself"),
        ("ltv", "derive = 3", "must be a formula"),
        ("age", "follows = {education = 0}", "not 0"),
        ("age", "follows = {housing = 1}", '"housing" is a category, which cannot rise'),
        ("age", 'follows = "education"', "must be a table such as {education = 2}"),
        ("housing", 'from = {rent = ["castle"]}', 'level of "housing" "castle"; one of'),
        ("housing", 'from = {rent = "own"}', "each level with the list"),
        ("loan", 'max_change = "much"', 'such as "20%"'),
        ("loan", "max_change = -1", "a number over 0"),
        ("loan", 'high = "limit"', 'a number, or "column:"'),
        ("loan", 'high = "column:limits"', '(did you mean "limit"?)'),
        ("constraints", '"loan <="', "a number or a column expected at its end"),
        ("constraints", '"loan = 3 ="', "'=' is too much"),
        ("constraints", '"loan < limit limit"', "'limit' is too much"),
        ("constraints", '"at most one of housing, loan"', "has levels; say which"),
        ("constraints", '"at most one of loan"', "lists one condition"),
        ("constraints", '"if loan > 3"', "'then' expected"),
        ("constraints", '"age = loan"', '"age" follows from two sentences'),
        ("constraints", '"loan = age + 1"', 'give it move = "fixed"'),
        ("constraints", '"housing rises"', "is a category, which cannot rise or fall"),
        ("constraints", '"loan is 3"', "is a number; compare it"),
        ("constraints", "3", "must be text in quotes"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(key: str, text: str, told: str) -> None:
    with pytest.raises(BadCard) as refused:
        read(**{key: text})
    assert told in str(refused.value) and "\n" not in str(refused.value) and "houses.toml" in str(refused.value)


def test_rows_that_break_a_constraint_are_told() -> None:
    (line,) = (w for w in read(constraints='"loan <= 50"').warnings if "break it" in w)
    assert line.startswith('constraint "loan <= 50": ') and "of 80 rows break it as they are" in line


SCHEMA = Schema(
    "made", "Made", favourable="yes", unfavourable="no",
    features=(
        Feature("a", "integer"), Feature("b", "number", step=0.25), Feature("c", "ordinal", levels=("x", "y", "z")),
        Feature("d", "category", levels=("x", "y", "if", "two words")),
    ),
)  # fmt: skip
WORDS = st.sampled_from(
    "a b c d own if then and is not changes to rises falls by at most one of or with".split()
    + "= <= >= < > + - * / ( ) , 1 2.5 20% x ?".split()
    + ["'two words'"]
)


@settings(max_examples=400, deadline=timedelta(seconds=2), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WORDS, min_size=1, max_size=12).map(" ".join))
def test_any_words_are_read_or_refused_in_one_line(text: str) -> None:
    schema = Schema(**{**SCHEMA.__dict__, "constraints": (text,)})
    try:
        assert len(sentences(schema)) == 1
    except BadTable as problem:
        assert "\n" not in str(problem)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=timedelta(seconds=2))
def test_a_box_is_told_no_more_than_its_people(seed: int) -> None:
    """What is certain of a box holds for everybody in it, and what somebody in it does is possible."""
    random = np.random.default_rng(seed)
    told = (
        "a + 2 * b <= 4", "a / b < 2", "b * a >= own a - 1", "c >= y", "if d is x or 'two words' then a >= +1",
        "if c rises and a < 3 then d changes", "at most one of a, b > 1, d is 'if', c changes to z",
        "if a falls then b <= 1",
    )  # fmt: skip
    schema = Schema(**{**SCHEMA.__dict__, "constraints": told})
    tops = np.array([6, 9, 3, 4])
    before, ends = random.integers(0, tops, (1, 4)), np.sort(random.integers(0, tops, (2, 1, 4)), axis=0)
    opened = random.random((1, 4)) < 0.6
    opened[0, random.integers(4)] = True
    after = random.integers(ends[0], ends[1] + 1, (20, 4))
    after[:, 3] = random.choice(np.flatnonzero(opened[0]), 20)
    box = Span(schema, before, ends[0], ends[1], {3: opened})
    people = Span.at(schema, np.repeat(before, 20, axis=0), after)
    for condition in constraints(schema):
        wide, each = condition.judge(box), condition.judge(people)  # type: ignore[union-attr]
        assert each.certain.all() or not wide.certain[0]
        assert wide.possible[0] or not each.certain.any()
