"""Principal reasons: everything told is true of the model, and nothing that alone changes the decision is missed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cfq_core.actions.action_set import ActionSet
from cfq_core.report.reasons import MOST, Reasons, confirmed, principal
from cfq_core.tables.encode import Encoding
from tests.conftest import MIXED, mixed_table

TABLE = mixed_table()
ACTIONS, ENCODING = ActionSet.fit(MIXED, TABLE.values), Encoding.fit(MIXED, TABLE.values)
NAMES = [f.name for f in MIXED.features]


def model(cut: float) -> Callable[[np.ndarray], np.ndarray]:
    """A rough score with a bump, so that the least change is not at an end; ``group`` counts too."""

    def logits(values: np.ndarray) -> np.ndarray:
        x = ENCODING.encode(values)
        low = x[:, 0] - 0.6 * x[:, 1] + 0.3 * np.sin(3 * x[:, 2]) + 0.4 * x[:, 3] + 0.5 * (values[:, 4] == 1)
        return np.asarray(low + 0.8 * (values[:, 8] == 1) - cut)

    return logits


def found(cut: float, people: int = 40) -> tuple[list[Reasons], Callable[[np.ndarray], np.ndarray]]:
    judge = model(cut)
    denied = np.flatnonzero(judge(TABLE.values) <= 0)[:people]
    return principal(ACTIONS, judge, denied, TABLE.values[denied]), judge


def alone(judge: Callable[[np.ndarray], np.ndarray], own: np.ndarray) -> dict[int, float]:
    """Least cost of every feature that alone is approved, by trying every value that there is (debt: every tenth)."""
    out = {}
    for i in (*ACTIONS.numbers, *ACTIONS.switches):
        top = len(MIXED.features[i].levels) - 1 if MIXED.features[i].levels else int(TABLE.values[:, i].max()) + 1
        values = np.arange(0, top + 1, 10 if NAMES[i] == "debt" else 1)
        after = np.repeat(own[None], len(values), 0)
        after[:, i] = values
        before = np.repeat(own[None], len(values), 0)
        good = ACTIONS.legal(before, after) & (judge(after) > 0) & (values != own[i])
        if MIXED.features[i].never:
            good &= ~np.isin(values, [MIXED.features[i].levels.index(n) for n in MIXED.features[i].never])
        if good.any():
            out[i] = float(ACTIONS.cost(before[good], after[good]).min())
    return out


@pytest.mark.parametrize("cut", [0.3, 3.0])
def test_every_reason_alone_changes_the_decision_and_none_that_does_is_missed(cut: float) -> None:
    each, judge = found(cut)
    for r in each:
        own, due = np.array(r.before), alone(judge, np.array(r.before))
        assert (r.kind == "alone") == bool(due), (r, due)
        if r.kind != "alone":
            continue
        assert len(r.reasons) == min(MOST, len(due)) and r.further == len(due) - len(r.reasons)
        assert [x.cost for x in r.reasons] == sorted(x.cost for x in r.reasons)
        for reason, after in zip(r.reasons, np.array(r.after), strict=True):
            assert np.flatnonzero(after != own).tolist() == [reason.feature]
            assert judge(after[None])[0] > 0 and ACTIONS.legal(own[None], after[None])[0]
            assert reason.cost <= due[reason.feature] * 1.02 + 0.02  # the whole range, not the spread of it


def test_where_none_alone_does_every_member_of_the_set_is_needed() -> None:
    each, judge = found(3.0)
    sets = [r for r in each if r.kind == "together"]
    assert sets and {r.kind for r in each} >= {"alone", "together"}
    for r in sets:
        own, after = np.array(r.before), np.array(r.after[0])
        changed = np.flatnonzero(own != after).tolist()
        assert sorted(x.feature for x in r.reasons) == changed and 1 < len(changed) <= MOST
        assert judge(after[None])[0] > 0 and ACTIONS.legal(own[None], after[None])[0]
        for i in changed:
            back = after.copy()
            back[i] = own[i]
            assert judge(back[None])[0] <= 0


def test_where_nothing_helps_nothing_is_told() -> None:
    each, _ = found(50.0, 5)
    assert all(r.kind == "none" and not r.reasons and r.why for r in each)


def test_a_protected_column_is_a_warning_and_never_a_reason() -> None:
    each, judge = found(0.3)
    facts = {i for i, f in enumerate(MIXED.features) if f.protected or f.immutable}
    assert not facts & {x.feature for r in each for x in r.reasons}
    for r in each:
        other = np.array(r.before)
        other[8] = 1
        flips = bool(judge(other[None])[0] > 0) and r.before[8] == 0
        assert ("group" in {p.name for p in r.protected}) == flips
    assert any(r.protected for r in each)


def test_what_the_shipped_file_does_not_confirm_is_taken_back() -> None:
    each, judge = found(3.0)
    assert confirmed(each, ACTIONS, [judge]) == (each, 0)
    kept, lost = confirmed(each, ACTIONS, [judge, model(3.02)])
    assert lost > 0 and any(r.kind == "none" for r in kept)
    strict = model(3.02)
    for r in kept:
        for after in r.after:
            assert strict(np.array([after]))[0] > 0 and judge(np.array([after]))[0] > 0
