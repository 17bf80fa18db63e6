"""A spec's id is the same everywhere and for ever, and another as soon as anything in it is another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from cfq_core.base import plugins
from cfq_core.base.identity import ID_LENGTH, LABEL, canonical, described, identity
from cfq_core.pipeline import Setting
from cfq_core.study.plan import Plan, RunSpec, TeacherSpec, read_plan
from cfq_core.study.revision import REVISION
from cfq_core.tables.schema import Feature, Schema, Table

KERNELS = "x86_64-avx2-torch2.13-000000"  # a numerics tag: ids are pinned for one


@dataclass(frozen=True)
class Part:
    KEY = "part"
    rate: float = 0.1
    names: tuple[str, ...] = ("a", "b")
    limit: int | None = None


@dataclass(frozen=True)
class Whole:
    KEY = "whole"
    revision: int = 1
    part: Part = field(default_factory=Part)
    on: bool = True
    title: str = field(default="", metadata=LABEL)


def _spec() -> RunSpec:
    """A run spec with every default filled in."""
    setting = Setting(solver=plugins.load("recourse", "search"))
    return RunSpec(TeacherSpec(REVISION, "0123456789ab", 0, setting, KERNELS), plugins.load("methods", "ptq"), 4.0)


def _other(value: Any, hint: Any) -> Any:
    """Another value of the same type."""
    if get_origin(hint) is Literal:
        return next(v for v in get_args(hint) if v != value)
    if value is None:
        return 7
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    return (*value, value[-1] if value else _other("", str))


def _changed(spec: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The spec with one field changed, for every field at any depth, and where it was."""
    hints = get_type_hints(type(spec))
    for f in fields(spec):
        if f.metadata.get("label"):
            continue
        value, where = getattr(spec, f.name), f"{path}.{f.name}"
        if is_dataclass(value):
            yield from ((inner, replace(spec, **{f.name: part})) for inner, part in _changed(value, where))
        else:
            yield where, replace(spec, **{f.name: _other(value, hints.get(f.name))})


# ---------------------------------------------------------------------- what an id is
def test_an_id_is_pinned() -> None:
    """Stored results are found by it: a change here makes every stored study unreachable."""
    assert identity(Whole()) == "1e6f0adae858"
    assert identity({"b": [1, 2.0, None], "a": "ü"}) == "e4776b199861"
    assert _spec().id == "284ef6f6d032"
    assert {n: replace(_spec(), method=m).id for n, m in plugins.load_all("methods").items()} == METHOD_IDS


def test_titles_notes_and_names_of_classes_are_no_part_of_an_id() -> None:
    renamed = type("Other", (Whole,), {})
    assert identity(renamed()) == identity(Whole(title="a title")) == identity(Whole())
    spec = _spec()
    assert replace(spec, method=replace(spec.method, title="another", about="text")).id == spec.id  # type: ignore[type-var]
    schema = replace(TABLE.schema, title="T", note="n", source="s", licence="l", favourable="f", unfavourable="u")
    labelled = schema.with_features(replace(FEATURE, label="words", unit="EUR"))
    assert replace(TABLE, schema=labelled).fingerprint() == TABLE.fingerprint()


def test_a_record_can_grow_without_changing_an_id() -> None:
    @dataclass(frozen=True)
    class Grown(Whole):
        further: float = 0.5

    assert identity(Grown()) == identity(Whole()), "a new field at its default"
    assert identity(Grown(further=0.6)) != identity(Whole())
    assert described(Grown())["further"] == 0.5, "what is stored says every value"


def test_a_record_without_a_key_has_no_id() -> None:
    @dataclass(frozen=True)
    class Nameless:
        x: int = 0

    with pytest.raises(TypeError, match="no KEY"):
        identity(Nameless())


def test_an_id_is_twelve_hex_digits() -> None:
    assert len(identity(Whole())) == ID_LENGTH == 12
    assert int(identity(Whole()), 16) >= 0


def test_an_id_is_the_same_in_another_process(tmp_path: Path) -> None:
    code = (
        "from cfq_core.study.plan import *; from cfq_core.study.revision import REVISION;"
        "from cfq_core.base import plugins;"
        "s = Setting(solver=plugins.load('recourse', 'search'));"
        f"t = TeacherSpec(REVISION, '0123456789ab', 0, s, '{KERNELS}');"
        "print(RunSpec(t, plugins.load('methods', 'ptq'), 4.0).id)"
    )
    env = {**os.environ, "PYTHONHASHSEED": "12345"}
    got = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert got.stdout.strip() == _spec().id


def test_order_of_keys_is_no_difference_and_the_kind_of_a_record_is_one() -> None:
    assert identity({"a": 1, "b": 2}) == identity({"b": 2, "a": 1})
    assert identity(Part()) != identity({**canonical(Part()), "kind": "Other"})
    assert identity((1, 2)) == identity([1, 2])


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), np.int64(3), object(), {1, 2}, b"x"],
    ids=["nan", "infinity", "numpy", "object", "set", "bytes"],
)
def test_what_is_no_plain_value_has_no_id(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        identity({"x": value})


# ---------------------------------------------------------------------- what changes it
@pytest.mark.parametrize(("where", "changed"), list(_changed(_spec())), ids=lambda v: v if isinstance(v, str) else "")
def test_every_field_of_a_run_spec_at_any_depth_changes_its_id(where: str, changed: RunSpec) -> None:
    assert changed.id != _spec().id, where


def test_all_those_ids_differ_from_each_other() -> None:
    ids = [changed.id for _, changed in _changed(_spec())]
    assert len(ids) > 25
    assert len(set(ids)) == len(ids)


def test_methods_that_differ_in_what_they_do_have_ids_of_their_own() -> None:
    ids = [replace(_spec(), method=m).id for m in plugins.load_all("methods").values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", plugins.names("recourse"))
def test_every_solver_has_an_id_of_its_own(name: str) -> None:
    ids = [identity(s) for s in plugins.load_all("recourse").values()]
    assert ids.count(identity(plugins.load("recourse", name))) == 1


METHOD_IDS = {
    "adaround": "ce107ce307fd",
    "cf_ptq": "5acba4baea08",
    "cf_ptq_alloc": "33346f4f0d38",
    "cf_ptq_measured": "cea95d7ca004",
    "cfq": "f036c15771a2",
    "cfq_anchored": "2063db5451c4",
    "ptq": "284ef6f6d032",
    "ptq_hawq": "9fbba9b51d8d",
    "ptq_measured": "7c55dd382ded",
    "ptq_minmax": "85f8a0569529",
    "ptq_mixed": "f5b42249e000",
    "ptq_percentile": "b26115860c5f",
    "ptq_random": "96245a426d50",
    "ptq_recourse": "1bf1008f7434",
    "ptq_shift": "271d4013bdd1",
    "qat_distill": "288f90545993",
    "qat_lenient": "7a6943007122",
    "qat_lsq": "29d75aca69bb",
    "qat_mixed": "b281f5744037",
    "qat_pact": "fe1c43e26761",
}

FEATURE = Feature("x", "number", levels=(), low=0.0, high=9.0, bands=(3.0,))
TABLE = Table(
    Schema("s", "S", (FEATURE, Feature("y", "category", levels=("a", "b"))), "yes", "no"),
    np.array([[1, 0], [2, 1], [3, 0]]), np.array([True, False, True]), np.array([False, False, True]),
)  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    {
        "a cell": replace(TABLE, values=np.array([[2, 0], [2, 1], [3, 0]])),
        "an outcome": replace(TABLE, outcome=~TABLE.outcome),
        "the order of rows": replace(TABLE, values=TABLE.values[::-1].copy(), outcome=TABLE.outcome[::-1].copy()),
        "a feature": replace(TABLE, schema=TABLE.schema.with_features(replace(FEATURE, move="up"))),
        "the published test rows": replace(TABLE, published_test=~TABLE.published_test),
        "no published test rows": replace(TABLE, published_test=None),
        "weights": replace(TABLE, row_weight=np.ones(3)),
        "a weight": replace(replace(TABLE, row_weight=np.ones(3)), row_weight=np.array([1.0, 2.0, 1.0])),
    }.items(),
    ids=lambda item: item[0],
)
def test_whatever_changes_the_numbers_changes_a_tables_fingerprint(changed: tuple[str, Table]) -> None:
    assert changed[1].fingerprint() != TABLE.fingerprint(), changed[0]


def test_a_fingerprint_does_not_depend_on_how_the_rows_lie_in_memory() -> None:
    other = replace(TABLE, values=np.asfortranarray(TABLE.values))
    assert other.fingerprint() == TABLE.fingerprint()


# ---------------------------------------------------------------------- defaults
def test_a_plans_defaults_are_the_documented_ones() -> None:
    plan = read_plan({"datasets": ["toy"]}, "here")
    assert plan == Plan(("toy",))
    assert (plan.methods, plan.bits, plan.seeds) == (("ptq",), (2.0, 3.0, 4.0, 8.0), (0, 1, 2, 3, 4))
    s = plan.setting
    assert (s.hidden, s.kappa, s.people, s.regime) == ((64, 64, 32), 0.2, 2000, "default")
    assert s.solver == plugins.load("recourse", "search")


def test_a_value_written_out_is_the_default_left_out() -> None:
    written = {
        "datasets": "toy", "methods": ["ptq"], "bits": [8, 4, 3, 2, 2], "seeds": 5, "hidden": [64, 64, 32],
        "kappa": 0.2, "people": 2000, "regime": "default", "recourse": "search",
    }  # fmt: skip
    assert identity(read_plan(written, "a")) == identity(read_plan({"datasets": ["toy"]}, "b"))


@pytest.mark.parametrize(("one", "same"), [(0, 0.0), (1, 1.0)], ids=str)
def test_the_same_number_written_otherwise_is_the_same_spec(one: float, same: float) -> None:
    ids = [identity(read_plan({"datasets": ["toy"], "kappa": k}, "here")) for k in (one, same)]
    assert ids[0] == ids[1]
