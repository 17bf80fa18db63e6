"""A plan is read, or refused in one line that says what is allowed. Nothing else comes out of any input."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfq_core.actions.regimes import REGIMES
from cfq_core.base import plugins
from cfq_core.base.errors import BadInput, BadPlan, UnknownName
from cfq_core.base.identity import described, identity
from cfq_core.datasets import slices
from cfq_core.quant.grid import WEIGHT_BITS
from cfq_core.study import estimate
from cfq_core.study.models import solver_of
from cfq_core.study.plan import (
    MOST_LAYERS,
    MOST_SEEDS,
    READERS,
    WIDEST,
    Plan,
    method_of,
    read_plan,
    read_plan_file,
    table_of,
)
from cfq_core.study.revision import REVISION
from cfq_core.study.solvers import MOST_STEPS
from cfq_core.study.store import Store
from cfq_core.study.summary import format_setting
from cfq_core.study.tasks import Chunk, audit_tasks, chunks, teacher_tasks

MORE = int(os.environ.get("CFQ_FUZZ", "1"))  # times as many examples

PLANS = Path(__file__).parents[2] / "data" / "studies"
DEEP = "[" * 5000 + "]" * 5000


def _refused(given_: dict[str, Any]) -> BadInput:
    with pytest.raises(BadInput) as refused:
        read_plan(given_, "plan.toml")
    assert "\n" not in refused.value.line()
    assert refused.value.exit_code == 2
    assert "plan.toml" in refused.value.line(), "says where"
    return refused.value


# ---------------------------------------------------------------------- each key
BITS = f"from {min(WEIGHT_BITS)} to {max(WEIGHT_BITS)}"
BAD = [
    ("name", 7, "a text of at most 200"),
    ("name", "x" * 201, "a text of at most 200"),
    ("datasets", [], "a list of names"),
    ("datasets", [3], "a list of names"),
    ("datasets", {"toy": 1}, "a list of names"),
    ("datasets", "grman", 'did you mean "german"'),
    ("methods", [], "a list of names"),
    ("methods", None, "a list of names"),
    ("methods", "pqt", 'did you mean "ptq"'),
    ("methods", ["ptq", "all"], "one of"),
    ("bits", [], "at least one"),
    ("bits", [1], BITS),
    ("bits", 1.99, BITS),
    ("bits", [9], BITS),
    ("bits", [True], BITS),
    ("bits", ["4"], BITS),
    ("bits", [float("nan")], BITS),
    ("bits", float("inf"), BITS),
    ("bits", [10**400], BITS),
    ("seeds", 0, f"from 1 to {MOST_SEEDS}"),
    ("seeds", -1, f"from 1 to {MOST_SEEDS}"),
    ("seeds", MOST_SEEDS + 1, f"from 1 to {MOST_SEEDS}"),
    ("seeds", True, f"from 1 to {MOST_SEEDS}"),
    ("seeds", 2.0, f"from 1 to {MOST_SEEDS}"),
    ("seeds", [], "list of whole numbers"),
    ("seeds", [-1], "list of whole numbers"),
    ("seeds", [2**31], "list of whole numbers"),
    ("hidden", [0], f"from 1 to {WIDEST}"),
    ("hidden", [WIDEST + 1], f"from 1 to {WIDEST}"),
    ("hidden", [8] * (MOST_LAYERS + 1), f"at most {MOST_LAYERS} layer widths"),
    ("activation", "gelo", 'did you mean "gelu"'),
    ("activation", 3, "one of"),
    ("residual", 1, "true or false"),
    ("residual", "yes", "true or false"),
    ("threshold", 1.0, "between 0 and 1"),
    ("threshold", "0.9", "between 0 and 1"),
    ("approve", 30, "such as"),
    ("approve", "130%", "such as"),
    ("approve", "nan%", "such as"),
    ("margin", "10%", "cost:10%"),
    ("margin", "cost:-5%", "cost:10%"),
    ("teacher", "", "path of an ONNX file"),
    ("teacher", {"favourable": "low"}, "path of an ONNX file"),
    ("teacher", {"path": "a.onnx", "layout": "rows"}, "one of auto"),
    ("teacher", {"path": "a.onnx", "threshold": "x"}, "a number"),
    ("activation_bits", 7, "one of"),
    ("activation_bits", 8.0, "one of"),
    ("activation_bits", True, "one of"),
    ("hidden", 64, "layer widths"),
    ("hidden", ["64"], "layer widths"),
    ("hidden", [64.0], "layer widths"),
    ("kappa", -0.1, "logits from 0 to 100"),
    ("kappa", 101, "logits from 0 to 100"),
    ("kappa", float("nan"), "logits from 0 to 100"),
    ("kappa", float("inf"), "logits from 0 to 100"),
    ("kappa", "0.2", "logits from 0 to 100"),
    ("kappa", True, "logits from 0 to 100"),
    ("kappa", 10**400, "logits from 0 to 100"),
    ("kappa", None, "logits from 0 to 100"),
    ("people", 0, 'a number from 1, or "all"'),
    ("people", "some", 'a number from 1, or "all"'),
    ("people", 1.5, 'a number from 1, or "all"'),
    ("regime", "strickt", 'did you mean "strict"'),
    ("regime", 3, "one of any, immutable, default, strict"),
    ("regime", [["any"]], "one of any, immutable, default, strict"),
    ("regime", {"any": 1}, "one of any, immutable, default, strict"),
    ("recourse", "serch", 'did you mean "search"'),
    ("recourse", [["search"]], "one of"),
    ("probes", [], "a list of names"),
    ("probes", [1], "a list of names"),
    ("probes", ["action_noize"], 'did you mean "action_noise"'),
    ("recourse", "search:5", "only pgd does"),
    ("recourse", "exact:0", "CPU seconds a person"),
    ("recourse", "exact:nan", "CPU seconds a person"),
    ("recourse", "exact:", "CPU seconds a person"),
    ("recourse", "exact:1e9", "CPU seconds a person"),
    ("recourse", "pdg:5", 'did you mean "pgd"'),
    ("recourse", "pgd:", f"1 to {MOST_STEPS} steps"),
    ("recourse", "pgd:0", f"1 to {MOST_STEPS} steps"),
    ("recourse", "pgd:-1", f"1 to {MOST_STEPS} steps"),
    ("recourse", "pgd:²", f"1 to {MOST_STEPS} steps"),
    ("recourse", "pgd:1:2", f"1 to {MOST_STEPS} steps"),
    ("recourse", f"pgd:{MOST_STEPS + 1}", f"1 to {MOST_STEPS} steps"),
]


@pytest.mark.parametrize(("key", "value", "allowed"), BAD, ids=[f"{k}-{str(v)[:12]}" for k, v, _ in BAD])
def test_a_bad_value_is_refused_with_its_key_and_what_is_allowed(key: str, value: Any, allowed: str) -> None:
    line = _refused({"datasets": ["toy"], key: value}).line()
    assert allowed in line
    part = {
        "datasets": "data set",
        "methods": "method",
        "regime": "regime",
        "recourse": "solver",
        "probes": "probe",
    }.get(key, key)
    assert key in line or part in line


def test_every_key_has_a_bad_value_here() -> None:
    assert {key for key, *_ in BAD} == set(READERS)


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    line = _refused({"datasets": ["toy"], "metods": ["ptq"]}).line()
    assert 'unknown key "metods"' in line and 'did you mean "methods"' in line


def test_a_plan_without_data_sets_is_refused_with_their_names() -> None:
    line = _refused({"bits": [4]}).line()
    assert '"datasets" is missing' in line and "german" in line


def test_a_number_of_thousands_of_digits_is_refused_like_any_other() -> None:
    for key in ("seeds", "bits", "kappa", "people", "name", "hidden"):
        _refused({"datasets": ["toy"], key: 16**5000})


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        ({"bits": [8, 2, 2, 3.5]}, {"bits": (2.0, 3.5, 8.0)}),
        ({"bits": 4}, {"bits": (4.0,)}),
        ({"seeds": 3}, {"seeds": (0, 1, 2)}),
        ({"seeds": [7, 3, 7]}, {"seeds": (3, 7)}),
        ({"methods": "all"}, {"methods": plugins.names("methods")}),
        ({"methods": ["ptq", "ptq_minmax", "ptq"]}, {"methods": ("ptq", "ptq_minmax")}),
        ({"datasets": ["my/card.toml", "toy"]}, {"datasets": ("my/card.toml", "toy")}),
        ({"name": "first look"}, {"name": "first look"}),
    ],
    ids=str,
)
def test_a_good_value_is_read_in_one_order_without_repeats(given_: dict[str, Any], read: dict[str, Any]) -> None:
    plan = read_plan({"datasets": ["toy"], **given_}, "here")
    for key, value in read.items():
        assert getattr(plan, key) == value


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        ({"people": "all"}, ("people", None)),
        ({"hidden": [4]}, ("hidden", (4,))),
        ({"kappa": 0}, ("kappa", 0.0)),
        ({"recourse": "pgd"}, ("solver", plugins.load("recourse", "pgd"))),
    ]
    + [({"regime": r}, ("regime", r)) for r in REGIMES],
    ids=str,
)
def test_a_setting_is_read(given_: dict[str, Any], read: tuple[str, Any]) -> None:
    assert getattr(read_plan({"datasets": ["toy"], **given_}, "here").setting, read[0]) == read[1]


def test_a_list_of_margins_or_regimes_is_a_study_over_several_settings() -> None:
    one = read_plan({"datasets": ["toy"], "kappa": 0.2}, "here")
    several = read_plan({"datasets": ["toy"], "kappa": [0.2, 0, 1, 0], "regime": ["default", "immutable"]}, "here")
    assert one.settings == (one.setting,)
    assert [(s.kappa, s.regime) for s in several.settings] == [
        (k, r) for k in (0.2, 0.0, 1.0) for r in ("default", "immutable")
    ]
    assert several.setting == one.setting, "what the list begins with is the plan's own setting"
    assert [c.setting for c in chunks(several)] == list(several.settings)
    assert next(iter(chunks(one))).setting == next(iter(chunks(several))).setting


def test_the_steps_of_the_gradient_teacher_are_a_setting() -> None:
    usual = plugins.load("recourse", "pgd")
    several = read_plan({"datasets": ["toy"], "recourse": ["pgd:1", f"pgd:{usual.steps}", "pgd", "search"]}, "here")
    assert [s.solver for s in several.settings] == [
        replace(usual, steps=1), usual, plugins.load("recourse", "search")
    ], "the usual number written out is the solver as it is"  # fmt: skip


def test_seconds_of_a_proof_are_a_setting_and_boxes_the_usual_limit() -> None:
    usual = plugins.load("recourse", "exact")
    several = read_plan({"datasets": ["toy"], "recourse": ["exact", "exact:4", "exact:0.5"]}, "here")
    assert [s.solver for s in several.settings] == [usual, replace(usual, seconds=4.0), replace(usual, seconds=0.5)]
    assert identity(usual) == identity(type(usual)()), "a default is left out"
    stored = described(several.settings[1])
    assert solver_of(stored) == several.settings[1].solver and format_setting(stored["solver"]) == "exact:4"


@pytest.mark.parametrize("bad", [[], [[0.1]], [0.1, -1], ["a"], [True]], ids=str)
def test_a_list_holds_what_its_key_takes(bad: Any) -> None:
    with pytest.raises(BadPlan):
        read_plan({"datasets": ["toy"], "kappa": bad}, "here")


# ---------------------------------------------------------------------- files
@pytest.mark.parametrize(
    ("content", "says"),
    {
        "broken": (b"datasets = [", "not TOML"),
        "twice": (b'datasets = ["toy"]\ndatasets = ["toy"]', "not TOML"),
        "latin-1": ('name = "Gr\u00fc\u00dfe"'.encode("latin-1"), "UTF-8"),
        "binary": (bytes(range(256)), "UTF-8"),
        "empty": (b"", '"datasets" is missing'),
        "deep": (f"x = {DEEP}".encode(), "not TOML"),
        "long integer": (b"kappa = 1" + b"0" * 5000, "not TOML"),
        "long hexadecimal": (b'datasets = ["toy"]\nkappa = 0x1' + b"0" * 5000, "kappa"),
        "impossible date": (b"name = 2026-13-45", "not TOML"),
    }.values(),
    ids=["broken", "twice", "latin-1", "binary", "empty", "deep", "long-integer", "long-hex", "date"],
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(content)
    with pytest.raises(BadPlan) as refused:
        read_plan_file(path)
    line = refused.value.line()
    assert str(path) in line and says in line and "\n" not in line


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(BadPlan, match="cannot be read"):
            read_plan_file(path)


def test_cards_are_found_relative_to_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('datasets = ["mine.toml", "toy", "/abs/card.toml"]')
    assert read_plan_file(path).datasets == (str(tmp_path / "mine.toml"), "toy", "/abs/card.toml")


@pytest.mark.parametrize("path", sorted(PLANS.glob("*.toml")), ids=lambda p: p.stem)
def test_a_shipped_plan_is_read_and_its_data_sets_exist(path: Path) -> None:
    plan = read_plan_file(path)
    assert plan.title
    assert all(map(slices.known, plan.datasets))


@pytest.mark.parametrize("dataset", ["adult", "compas", "german"])
def test_a_shipped_result_is_what_its_plan_and_its_methods_still_name(dataset: str) -> None:
    """A changed method would name runs that nobody has; results of an older engine are only shown."""
    plan = read_plan_file(PLANS / f"{dataset}.toml")
    store = Store.for_reading(PLANS.parent / "gallery")
    study = next(s["id"] for s in store.studies() if s["plan"]["datasets"] == [dataset])
    runs = store.runs(study)
    store.close()
    assert {"ptq", "cfq", "cfq_anchored"} <= {r["method"] for r in runs} <= set(plan.methods)
    for run in runs:
        if run["spec"]["teacher"]["revision"] == REVISION:
            assert run["spec"]["method"] == described(method_of(run["method"])), run["method"]


def test_an_unknown_table_is_refused_and_a_card_path_is_offered() -> None:
    with pytest.raises(UnknownName, match=r"or the path of a card that ends in \.toml"):
        table_of("nobody")


# ---------------------------------------------------------------------- fuzz
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["all", "toy"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
plans = st.dictionaries(st.sampled_from(list(READERS)) | st.text(max_size=8), anything, max_size=6)


def _plan_or_one_line(read: Any) -> None:
    try:
        assert isinstance(read(), Plan)
    except BadInput as refused:
        assert "\n" not in refused.line()


@settings(max_examples=400 * MORE)
@given(plans, st.booleans())
def test_any_values_give_a_plan_or_one_line(given_: dict[str, Any], with_data: bool) -> None:
    _plan_or_one_line(lambda: read_plan(given_ | ({"datasets": ["toy"]} if with_data else {}), "here"))


@settings(max_examples=200 * MORE)
@given(st.sampled_from(list(READERS)), anything)
def test_any_value_of_a_key_gives_a_plan_or_one_line(key: str, value: Any) -> None:
    _plan_or_one_line(lambda: read_plan({"datasets": ["toy"], key: value}, "here"))


WRITTEN = b'name = "a"\ndatasets = ["toy", "german"]\nmethods = ["ptq"]\nbits = [2, 3.5]\nseeds = 2\nkappa = 0.2\n'


@settings(max_examples=300 * MORE)
@given(edits=st.lists(st.tuples(st.integers(0, len(WRITTEN)), st.binary(max_size=4)), max_size=3), junk=st.binary())
def test_any_bytes_give_a_plan_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, bytes]], junk: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    edited = WRITTEN
    for at, piece in edits:
        edited = edited[:at] + piece + edited[at + len(piece) :]
    for content in (edited, junk):
        path.write_bytes(content)
        _plan_or_one_line(lambda: read_plan_file(path))


def test_the_unedited_bytes_are_a_plan() -> None:
    assert read_plan(tomllib.loads(WRITTEN.decode()), "here").bits == (2.0, 3.5)


# ---------------------------------------------------------------------- tasks
def test_a_chunk_holds_every_seed_once_in_order() -> None:
    plan = read_plan({"datasets": ["toy", "diabetes"], "seeds": 100}, "here")
    assert [c.seeds for c in chunks(plan)] == [tuple(range(100))] * 2
    assert len({c.data for c in chunks(plan)}) == 2


def test_a_large_table_trains_a_seed_a_task_and_a_small_one_all_that_are_left(real_table) -> None:  # type: ignore[no-untyped-def]
    real_table("adult")
    for name, seeds in (("adult", [(0,), (1,), (2,)]), ("toy", [(0, 1, 2)])):
        (chunk,) = chunks(read_plan({"datasets": [name], "seeds": 3}, "here"))
        assert [t.seeds for t in teacher_tasks(chunk, chunk.seeds, False, False, 1)] == seeds
    assert [t.seeds for t in teacher_tasks(chunk, chunk.seeds, False, False, 2)] == [(0, 1), (2,)]


def test_budgets_of_a_seed_train_in_one_stack_unless_a_worker_would_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = estimate.Pace(rows=300_000, teacher=60.0, audit=40.0, trained=70.0)
    monkeypatch.setattr(Chunk, "pace", property(lambda _: slow))
    plan = read_plan({"datasets": ["toy"], "methods": ["cfq"], "bits": [2, 3, 4, 8], "seeds": 2}, "here")
    (chunk,) = chunks(plan)
    missing = [("cfq", s, b) for s in (0, 1) for b in plan.bits]
    for workers, together in ((1, 4), (2, 4), (4, 2)):
        assert [len(t.budgets) for t in audit_tasks(chunk, missing, workers)] == [together] * (8 // together)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_tasks_hold_every_missing_run_once_and_no_other(workers: int) -> None:
    plan = read_plan({"datasets": ["toy"], "methods": ["ptq", "cfq"], "bits": [2, 3, 4], "seeds": 30}, "here")
    (chunk,) = chunks(plan)
    missing = [("ptq", s, b) for s in range(30) for b in (2.0, 4.0)] + [
        ("cfq", s, b) for s in (3, 7) for b in plan.bits
    ]
    missing += [("cfq", 9, 3.0)]
    found = audit_tasks(chunk, missing, workers)
    runs = [(t.method, s, b) for t in found for s in t.seeds for b in t.budgets]
    assert sorted(runs) == sorted(missing)
    assert sorted(r.id for t in found for r in t.runs) == sorted(
        chunk.run(method_of(m), s, b).id for m, s, b in missing
    )
    assert len(found) >= workers
