"""What a caller passes by mistake is named in one line, with what is needed and how to get it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cfq_core
from cfq_core.base.errors import BadInput
from cfq_core.base.plugins import load
from cfq_core.pipeline import Design, Setting, TeacherRecourse
from cfq_core.tables.schema import Table
from tests.conftest import Cell, mixed_table

#: What people pass where something of ours is needed.
WRONG = (None, pd.DataFrame({"a": [1]}), np.zeros(3), "german", Path("card.toml"), 4, [], {}, object())


@dataclass(frozen=True)
class Given:
    """A right value of every kind of argument."""

    table: Table
    design: Design
    promise: TeacherRecourse


@pytest.fixture(scope="module")
def given(cell: Cell) -> Given:
    return Given(mixed_table(), cell.designs[0], cell.promises[0])


Call = Callable[[Given, Any], Any]
PTQ, SETTING = {"ptq": load("methods", "ptq")}, Setting(hidden=(4,), people=5)
CALLS: dict[str, Call] = {
    "prepare table": lambda g, x: cfq_core.prepare(x, 0),
    "own_teacher table": lambda g, x: cfq_core.own_teacher("model.onnx", x),
    "promise designs": lambda g, x: cfq_core.promise(x, SETTING),
    "promise one design": lambda g, x: cfq_core.promise([g.design, x], SETTING),
    "promise setting": lambda g, x: cfq_core.promise([g.design], x),
    "training_recourse promises": lambda g, x: cfq_core.training_recourse(x, SETTING),
    "training_recourse setting": lambda g, x: cfq_core.training_recourse([g.promise], x),
    "audit promises": lambda g, x: cfq_core.audit(x, PTQ, [4.0], SETTING),
    "audit methods": lambda g, x: cfq_core.audit([g.promise], x, [4.0], SETTING),
    "audit one method": lambda g, x: cfq_core.audit([g.promise], {"mine": x}, [4.0], SETTING),
    "audit budgets": lambda g, x: cfq_core.audit([g.promise], PTQ, x, SETTING),
    "audit one budget": lambda g, x: cfq_core.audit([g.promise], PTQ, [9 if isinstance(x, int) else x], SETTING),
    "audit setting": lambda g, x: cfq_core.audit([g.promise], PTQ, [4.0], x),
    "Setting solver": lambda g, x: Setting(solver=x),
    "safe store": lambda g, x: cfq_core.safe(Path("nowhere") / "no" if isinstance(x, str | Path) else x),
}


@pytest.mark.parametrize("call", CALLS)
def test_something_else_is_refused_at_the_door(given: Given, call: str) -> None:
    for wrong in WRONG:
        with pytest.raises(BadInput) as refused:
            CALLS[call](given, wrong)
        line = refused.value.line()
        assert "\n" not in line and len(line) < 400
        assert call.startswith("safe") or "need" in line or "at least one" in line, line


def test_looking_at_a_store_that_is_not_there_makes_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no store here"):
        cfq_core.safe(tmp_path / "nowhere")
    assert not any(tmp_path.iterdir())


def test_the_cure_names_what_gives_the_right_thing() -> None:
    with pytest.raises(BadInput, match=r"prepare: table is a DataFrame; .*cfq_core\.read_card\(card, frame\)"):
        cfq_core.prepare(pd.DataFrame(), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["0", None, 1.5, -1, True])
def test_a_seed_is_a_whole_number(wrong: Any) -> None:
    with pytest.raises(BadInput, match="seed"):
        cfq_core.prepare(mixed_table(), wrong)


@pytest.mark.parametrize(
    "field", [{"hidden": 64}, {"kappa": "a"}, {"kappa": float("nan")}, {"hidden": "64"}, {"kappa": True}]
)
def test_a_setting_of_the_wrong_kind_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=f"Setting: {next(iter(field))}"):
        Setting(**field)


def test_widths_may_be_a_list() -> None:
    assert Setting(hidden=[8, 8]) == Setting(hidden=(8, 8))  # type: ignore[arg-type]


def test_a_kind_of_part_that_there_is_not_is_refused() -> None:
    with pytest.raises(BadInput, match='"dataset"; one of datasets'):
        cfq_core.load("dataset", "german")
