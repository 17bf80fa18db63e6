"""A gallery holds results and no row of a raw table: proved against the table itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cfq_core.artifacts.artifact import NUMBERS, TEXTS, artifact
from cfq_core.base.errors import UnknownName
from cfq_core.base.plugins import load_all, names
from cfq_core.base.shipped import shipped
from cfq_core.evidence import OTHER_THRESHOLD, measure
from cfq_core.pipeline import prepare
from cfq_core.report.frames import LEFT, Stored
from cfq_core.study import gallery, summary
from cfq_core.study.audited import evidence_in, evidence_of, stored_teacher
from cfq_core.study.plan import Plan, table_of
from cfq_core.study.runner import run_plan
from cfq_core.study.store import FILE, Store

LARGEST = 10_000_000  # bytes of the shipped gallery
PROBED = tuple(map(artifact, names("probes")))
READINGS = {*TEXTS, *NUMBERS, "at", "count"}
ALLOWED = {"weights", "people", "layers", "groups"}


@pytest.fixture(scope="module")
def packed(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, str, Path]]:
    folder = tmp_path_factory.mktemp("gallery")
    store = Store(folder / "full")
    study = run_plan(plan, store)
    gallery.pack(store, [study], folder / "gallery")
    yield store, study, folder / "gallery"
    store.close()


def arrays_of(store: Store) -> Iterator[tuple[str, str, np.ndarray]]:
    for owner, name in store.db.execute("SELECT owner_id, name FROM artifact").fetchall():
        for key, array in store.arrays(owner, name).items():
            yield name, key, array


def test_packed_study_tells_what_the_full_one_tells(packed: tuple[Store, str, Path]) -> None:
    full, study, folder = packed
    mine, theirs = Stored(str(full.folder), study, 6), Stored(str(folder), study, 6, read_only=True)
    # six digits of each run; a mean over seeds may cancel
    assert np.allclose(mine.lines["mean"], theirs.lines["mean"], rtol=1e-5, atol=1e-6, equal_nan=True)
    run = mine.runs.run[0]
    a, b = mine.people(run), theirs.people(run)
    assert list(a.columns) == list(b.columns)
    assert np.allclose(a.student_at, b.student_at, rtol=1e-5, equal_nan=True)
    assert (a.holds == b.holds).all() and (a["group:sex"] == b["group:sex"]).all()
    assert len(theirs.sensitivities) == len(mine.sensitivities) > 0
    assert len(theirs.landscape) == len(mine.landscape)


def test_arrays_give_back_their_own_numbers(packed: tuple[Store, str, Path]) -> None:
    """To the last digit that is kept: values, intervals and counts, raw and at matched approval."""
    full, study, folder = packed
    store, compared = Store(folder, read_only=True), set()
    for run in store.runs(study):
        found = measure(load_all("metrics"), *evidence_of(store, run))
        stored = store.measures(run["id"])
        for name, m in found.overall.items():
            assert gallery._rounded(vars(m)) == stored[name], name
            compared.add(name)
        exact = full.measures(run["id"])
        assert stored == {n: m if n == OTHER_THRESHOLD else gallery._rounded(m) for n, m in exact.items()}
    assert {"vd", "vd_matched", "worst_group_vd_matched", "crg_mean_matched", "margin_condition"} <= compared
    store.close()


def test_what_is_left_of_the_shift_stands_beside_every_matched_number(packed: tuple[Store, str, Path]) -> None:
    """In the frame behind a picture, the Markdown table, and what the gallery keeps."""
    full, study, folder = packed
    for stored in (Stored(str(full.folder), study, 6), Stored(str(folder), study, 6, read_only=True)):
        dataset = stored.runs.dataset.iloc[0]
        rows, lines = stored.measured_lines(dataset, "vd_matched"), stored.lines
        left = lines[(lines.dataset == dataset) & (lines.measure == LEFT)].set_index(["method", "budget"])["mean"]
        assert len(rows) == len(left) > 0
        assert [left[m, b] for m, b in zip(rows.method, rows.budget, strict=True)] == list(rows[LEFT])
        assert {"unmatched", "tied_low", "tied_high"} <= set(rows)
        assert LEFT not in stored.measured_lines(dataset, "vd")
    titles = [name for _, name, *_ in summary.MARKDOWN]
    assert titles.index(LEFT) == titles.index("vd_matched") + 1


def test_a_logit_beside_the_threshold_is_kept_in_double_precision(packed: tuple[Store, str, Path]) -> None:
    full, study, _ = packed
    run = full.runs(study)[0]
    promised, groups = stored_teacher(full, run["teacher_id"])
    promised, person = {k: a for k, a in promised.items() if k != "logits"}, promised["person"]
    people = gallery._of_the_denied(full.arrays(run["id"], "people"), person)
    threshold = 0.1  # no number in binary: single precision rounds it up
    far = people | {"student_at": np.full(len(person), threshold + 0.5)}
    beside = people | {"student_at": np.full(len(person), threshold) + 1e-12}
    below = people | {"student_at": np.full(len(person), threshold) - 1e-12}
    for given, vd in ((far, 0.0), (beside, 0.0), (below, 1.0)):
        kept = gallery.in_few_bytes(given, promised, groups, threshold)
        found = measure(load_all("metrics"), *evidence_in(promised, groups, kept, threshold)).overall
        assert found["vd_matched"].value == vd
    rounded = gallery._small(below)
    wrong = measure(load_all("metrics"), *evidence_in(promised, groups, rounded, threshold)).overall["vd_matched"]
    assert wrong.value == 0.0, "the check above can fail"


def test_packed_study_holds_no_row_of_its_table(packed: tuple[Store, str, Path], plan: Plan) -> None:
    """No array is as long as the test rows or as wide as a person, and no person's own cells are anywhere in it."""
    full, study, folder = packed
    store = Store(folder, read_only=True)
    design = prepare(table_of("diabetes"), plan.seeds[0])
    people, test, width = design.table.values, len(design.split.test), design.table.values.shape[1]
    looked = list(arrays_of(store))
    assert {name for name, _, _ in looked} <= ALLOWED
    for name, key, array in looked:
        if name in ("people", "groups"):
            assert array.ndim == 1 and len(array) < test, key
            assert key not in ("before", "after", "logits", "student")
    rows = {r.tobytes() for r in people.astype(np.int64)} | {r.tobytes() for r in people.astype(np.float32)}
    blob = b"".join(np.ascontiguousarray(a).tobytes() for _, _, a in looked)
    assert not any(r in blob for r in rows) and width > 2
    before = full.arrays(full.teachers(study)[0]["id"], "people")["before"]
    assert before[0].astype(np.int64).tobytes() in rows, "the full store does hold people: the check above can fail"
    store.close()


def test_share_of_a_study_is_a_study_of_its_own(packed: tuple[Store, str, Path], tmp_path: Path) -> None:
    full, study, _ = packed
    gallery.pack(full, [study], tmp_path / "share", gallery.Share(("ptq",), 2))
    store = Store(tmp_path / "share", read_only=True)
    found = store.studies()[0]
    assert found["id"] != study and (found["runs"], found["finished"]) == (6, 6)
    assert found["name"].endswith("ptq, 2 seeds")
    assert {r["method"] for r in store.runs(found["id"])} == {"ptq"} and len(store.teachers(found["id"])) == 2
    store.close()
    with pytest.raises(UnknownName, match="nonsense"):
        gallery.pack(full, [study], tmp_path / "none", gallery.Share(("nonsense",)))


def test_shipped_gallery_is_small_whole_and_without_rows() -> None:
    folder = shipped("gallery")
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < LARGEST
    assert not list(folder.glob(f"{FILE}-*")), "no journal beside it: it is read where nothing can be written"
    store = Store(folder, read_only=True)
    denied = {t["id"]: t["measures"]["people"] for s in store.studies() for t in store.teachers(s["id"])}
    for owner, name in store.db.execute("SELECT owner_id, name FROM artifact").fetchall():
        assert name in ALLOWED or name in PROBED
        arrays = store.arrays(owner, name)  # checked against its sha256
        if name == "people":
            assert set(arrays) <= {*gallery.KEPT_PEOPLE, "denied_logits", "denied_student"}
            assert all(a.ndim == 1 and len(a) <= max(denied.values()) for a in arrays.values())
        if name == "groups":
            assert not any(k.endswith(gallery.OF_TEST_ROWS) for k in arrays)
        if name in PROBED:
            assert set(arrays) - {"spec"} == READINGS, "readings are of many people"
    assert store.studies()
    assert all(s["runs"] == s["finished"] for s in store.studies())
    store.close()
