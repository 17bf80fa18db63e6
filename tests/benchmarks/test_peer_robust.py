"""What RoCELib and reachml are told of a person is true of that person."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import peer_libraries, peer_reachml, peer_robust, peer_tables
from benchmarks.peer_question import Asked
from cfq_core.recourse.find import logits64
from tests.benchmarks.peer_people import net_question
from tests.oracles.legality import frame


@pytest.fixture(scope="module")
def asked() -> Asked:
    return net_question()


def test_the_folded_net_decides_as_the_teacher_and_offers_rows_that_the_person_may_become(asked: Asked) -> None:
    pool = peer_robust.training(asked)
    offered = 0
    for i in range(len(asked.people)):
        person = peer_robust.Folded(asked, pool, i)
        given = torch.tensor(np.vstack([person.rows.X.to_numpy(), person.factual]), dtype=torch.float32)
        rows = np.array([person.row(x) for x in person.rows.X.to_numpy()], int).reshape(-1, 4)
        want = logits64(asked.teacher, 0, asked.query.encoding, np.vstack([rows, asked.people[i]]))
        assert torch.logit(person.network(given))[:, 0].detach().numpy() == pytest.approx(want, abs=1e-4)
        own = np.tile(asked.people[i], (len(rows), 1))
        assert not asked.rules.violations(frame(asked.schema, own), frame(asked.schema, rows))
        assert (want[:-1] > 0).all() and person.rows.data[peer_robust.TARGET].eq(1).all()
        offered += len(rows)
    assert offered > len(asked.people)


def test_a_persons_own_row_and_what_is_no_number_are_no_answers(asked: Asked) -> None:
    person = peer_robust.Folded(asked, peer_robust.training(asked), 0)
    assert person.row(person.factual.to_numpy()) is None
    assert person.row(np.full(len(person.columns), np.nan)) is None


def test_every_method_of_rocelib_is_a_library_of_the_table() -> None:
    for name in peer_robust.METHODS:
        assert peer_libraries.LIBRARIES[name][0] == "rocelib"
    assert set(peer_robust.FEWER) < set(peer_robust.METHODS)


def test_a_library_that_promises_little_takes_nobody_out_of_the_comparison() -> None:
    least = {"library": "L", "seed": 1, "legal": [True] * 4, "teacher": [1.0] * 4}
    few = least | {"library": "F", "teacher": [1.0, -1.0, -1.0, -1.0]}
    half = least | {"library": "H", "teacher": [1.0, 1.0, -1.0, -1.0]}
    assert peer_tables.useful([least, few, half]) == {"L", "H"}
    assert peer_tables.served_by_all([least, few, half]) == {1: [True, True, False, False]}


def test_a_persons_box_has_as_many_points_as_may_be_reached(asked: Asked) -> None:
    own = asked.people[0]
    every = np.array([[h, s, j, own[3]] for h in range(41) for s in range(4) for j in range(4)])
    legal = asked.query.actions.legal(np.tile(own, (len(every), 1)), every)
    assert peer_reachml.size(asked.rules, own) == legal.sum()


def test_people_in_the_columns_of_reachml_come_back(asked: Asked) -> None:
    wide = peer_reachml.spread(asked.table, asked.people)
    assert wide.shape[1] == sum(map(len, peer_reachml.columns(asked.table)))
    assert (peer_reachml.gathered(asked.table, wide.astype(int)) == asked.people).all()


def test_reachml_reaches_what_may_be_reached(asked: Asked) -> None:
    pytest.importorskip("reachml")
    for own in asked.people[:3]:
        found = peer_reachml.reachable(asked.query, asked.table, own)
        assert asked.query.actions.legal(np.tile(own, (len(found), 1)), found).all()
        assert len(np.unique(found, axis=0)) == len(found) == peer_reachml.size(asked.rules, own)


def test_answers_that_hold_only_between_levels_are_told() -> None:
    r = {"library": "W", "seed": 1, "answered": [True] * 3, "legal": [True] * 3, "teacher": [-1.0, -1.0, 1.0]}
    assert peer_tables.off_grid({"libraries": [r | {"off_grid": [0.1, 0.2, 0.3]}]}).endswith("W 3 and 1 of 3.")
    assert not peer_tables.off_grid({"libraries": [r, r | {"off_grid": [0.1, -0.2, -0.3]}]})
