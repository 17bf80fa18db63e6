"""Every metric and certificate: sound values on any evidence, and the values that must come out of known cases."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfq_core.base import plugins
from cfq_core.certificates.table import margin
from cfq_core.evidence import OF_WORST, Evidence, Measures, Metric, PerRow, measure, summarise

METRICS: dict[str, Metric] = plugins.load_all("metrics")
CERTIFICATES = plugins.load_all("certificates")
every_metric = pytest.mark.parametrize("name", METRICS)

#: The measure names that programs which read ``--json`` rely on.
PINNED = (
    "accuracy accuracy_drop agreement flip_rate boundary_flip_rate approval_shift logit_shift frr vd vd_matched "
    "windfall crg_mean crg_median crg_abs recourse_lost direction worst_group_vd margin_condition certified "
    "recourse_cost size_bytes seconds"
).split()
ROUNDING = 1e-12
BY_PIPELINE = ("size_bytes", "seconds", "training_recourse_seconds", "on_the_fly_seconds")

EDGES = np.array([0.0, -0.0, 5e-324, -5e-324, 0.2, 0.5, -0.5, 1e-9, -1e-9, 1e4, -1e4])


def evidence(seed: int, test: int, asked: int) -> Evidence:
    """Evidence of any shape: ``asked`` of ``test`` people denied, edge values among the logits."""
    random = np.random.default_rng(seed)

    def logits(size: int) -> np.ndarray:
        drawn = random.normal(0, 2, size)
        return np.where(random.random(size) < 0.15, random.choice(EDGES, size), drawn)

    person = np.sort(random.permutation(test)[:asked])
    found, student_has_recourse = random.random(asked) < 0.7, random.random(asked) < 0.7
    reaudited = random.random(asked) < 0.8
    teacher = logits(test)
    teacher[person] = -np.abs(teacher[person])
    promised = np.maximum(np.abs(logits(asked)), 5e-324)
    costs = random.gamma(2.0, 1.0, (2, asked)) + 1e-6
    student_has_recourse &= reaudited
    moving = found & student_has_recourse
    return Evidence(
        outcome=random.random(test) < 0.5,
        teacher=teacher,
        student=logits(test),
        groups={n: list(random.choice(["a", "b"], test)) for n in ("one", "two")[: seed % 3]},
        person=person,
        has_recourse=found,
        cost=np.where(found, costs[0], np.inf),
        teacher_at=np.where(found, promised, np.nan),
        student_at=np.where(found, logits(asked), np.nan),
        reaudited=reaudited,
        student_has_recourse=student_has_recourse,
        student_cost=np.where(student_has_recourse, costs[1] * (random.random(asked) < 0.9), np.inf),
        cosine=np.where(moving, random.uniform(-1, 1, asked), np.nan),
    )


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    test = draw(st.integers(1, 80))
    return evidence(draw(st.integers(0, 2**32)), test, draw(st.integers(0, test)))


def faithful(seed: int = 1, test: int = 300, asked: int = 180) -> Evidence:
    """A student that is its teacher: the same logits, the same recourse."""
    e = evidence(seed, test, asked)
    everybody = np.ones(asked, bool)
    promised = np.where(e.has_recourse, np.maximum(e.teacher_at, 0.2), np.nan)
    return replace(
        e, student=e.teacher, teacher_at=promised, student_at=promised, reaudited=everybody,
        student_has_recourse=e.has_recourse,
        student_cost=e.cost, cosine=np.where(e.has_recourse, 1.0, np.nan),
    )  # fmt: skip


def everybody_approved(e: Evidence) -> Evidence:
    """The student that buys validity with leniency."""
    k = len(e.person)
    yes = np.full(len(e.student), 9.0)
    return replace(
        e, student=yes, student_at=np.where(e.has_recourse, 9.0, np.nan), reaudited=np.ones(k, bool),
        student_has_recourse=np.ones(k, bool), student_cost=np.zeros(k), cosine=np.full(k, np.nan),
    )  # fmt: skip


def _bytes(e: Evidence) -> list[Any]:
    held = [getattr(e, f.name) for f in fields(e)]
    return [(h.dtype.str, h.tobytes()) if isinstance(h, np.ndarray) else repr(h) for h in held]


def _value(name: str, e: Evidence) -> float | None:
    return measure({name: METRICS[name]}, e, e).overall[name].value


@every_metric
@given(any_evidence())
def test_a_metric_scores_rows_that_exist_with_finite_values_and_changes_nothing(name: str, e: Evidence) -> None:
    before = _bytes(e)
    scored = METRICS[name].score(e)
    assert _bytes(e) == before
    assert isinstance(scored, PerRow)
    assert scored.values.shape == scored.rows.shape == (len(scored.rows),)
    assert np.isfinite(scored.values).all()
    assert np.issubdtype(scored.rows.dtype, np.integer)
    assert ((scored.rows >= 0) & (scored.rows < len(e.student))).all()
    assert len(np.unique(scored.rows)) == len(scored.rows), "a row counts once"
    if METRICS[name].summary in ("share", *OF_WORST):
        assert set(np.unique(scored.values)) <= {0.0, 1.0}
    if scored.weight is not None:
        assert np.isfinite(scored.weight).all() and (scored.weight >= 0).all()


@every_metric
@given(any_evidence())
def test_a_measure_is_finite_inside_its_interval_and_counts_its_rows(name: str, e: Evidence) -> None:
    measures = measure({name: METRICS[name]}, e, e)
    scored = METRICS[name].score(e)
    for got in measures.overall.values():
        if METRICS[name].summary not in OF_WORST:
            assert got.count == len(scored.rows)
        if got.value is None:
            assert got.low is None and got.high is None
            continue
        assert got.low is not None and got.high is not None
        assert np.isfinite([got.value, got.low, got.high]).all()
        assert got.low <= got.high
        if METRICS[name].summary in ("share", *OF_WORST):
            assert 0 <= got.low <= got.value + ROUNDING and got.value - ROUNDING <= got.high <= 1
    assert (f"{name}_matched" in measures.overall) == METRICS[name].decision


@every_metric
@given(any_evidence())
def test_a_group_is_measured_as_if_nobody_else_were_there(name: str, e: Evidence) -> None:
    """A group's value is the summary of its own rows: with groups of one level it is everybody's."""
    metric = METRICS[name]
    whole = replace(e, groups={"all": ["everybody"] * len(e.student)})
    measures = measure({name: metric}, whole, whole)
    assert set(measures.groups) == ({"all"} if metric.by_group else set())
    if metric.by_group:
        inside = measures.groups["all"]["everybody"][name]
        assert inside.count == measures.overall[name].count
        assert inside.value in (None, measures.overall[name].value)


@every_metric
def test_a_metric_says_its_title_unit_and_which_way_is_better(name: str) -> None:
    metric = METRICS[name]
    assert metric.title
    assert metric.unit in ("share", "logits", "cost", "relative", "cosine", "p")
    assert metric.better in ("lower", "higher", "near 0", "neither")
    assert metric.summary in ("share", "mean", "median", "sd", *OF_WORST)
    assert metric.unit == "share" or metric.summary not in ("share", "worst", "worst_by_chance")


# ---------------------------------------------------------------------- known cases
@pytest.mark.parametrize(
    ("name", "value"),
    {
        "vd": 0, "worst_group_vd": 0, "flip_rate": 0, "boundary_flip_rate": 0, "agreement": 1, "approval_shift": 0,
        "accuracy_drop": 0, "logit_shift": 0, "logit_shift_sd": 0, "crg_mean": 0, "crg_median": 0, "crg_abs": 0,
        "crg_ratio": 0, "crg_above": 0, "crg_below": 0, "recourse_lost": 0, "windfall": 0, "margin_condition": 1,
        "margin_transferred": 0, "certified": 1, "direction": 1, "logit_shift_at": 0,
    }.items(),
)  # fmt: skip
def test_a_student_that_is_its_teacher_breaks_nothing(name: str, value: float) -> None:
    assert _value(name, faithful(seed=4)) == value


@pytest.mark.parametrize(
    ("name", "value"),
    {
        "vd": 0, "worst_group_vd": 0, "worst_group_vd_by_chance": 0, "worst_group_vd_p": 1, "recourse_lost": 0,
        "windfall": 1, "crg_mean": -1, "crg_below": 1,
    }.items(),
)  # fmt: skip
def test_approving_everybody_breaks_no_promise(name: str, value: float) -> None:
    assert _value(name, everybody_approved(faithful(seed=4))) == value


def test_approving_everybody_shifts_approval_by_the_whole_rest() -> None:
    e = everybody_approved(faithful())
    assert _value("approval_shift", e) == pytest.approx(1 - (e.teacher > 0).mean(), abs=1e-12)
    assert _value("agreement", e) == pytest.approx((e.teacher > 0).mean(), abs=1e-12)


def test_refusing_everybody_breaks_every_promise() -> None:
    e = faithful()
    no = replace(e, student=np.full(len(e.student), -9.0), student_at=np.where(e.has_recourse, -9.0, np.nan))
    assert _value("vd", no) == 1
    assert _value("approval_shift", no) == pytest.approx(-(e.teacher > 0).mean(), abs=1e-12)
    assert _value("certified", no) == 0


def test_a_logit_of_zero_is_a_refusal() -> None:
    """Favourable iff strictly positive: for decisions, promises and windfalls alike."""
    e = faithful()
    zero = replace(e, student=np.zeros(len(e.student)), student_at=np.where(e.has_recourse, 0.0, np.nan))
    assert _value("vd", zero) == 1
    assert _value("windfall", zero) == 0
    assert _value("approval_shift", zero) == pytest.approx(-(e.teacher > 0).mean(), abs=1e-12)


#: Four denied people: one kept, one broken, one without recourse, one not asked again; then three others.
SEVEN = Evidence(
    outcome=np.array([True, False, True, False, True, True, False]),
    teacher=np.array([-1.0, -0.4, -2.0, -0.3, 0.4, 2.0, 0.1]),
    student=np.array([-1.0, 0.2, -2.0, -0.3, -0.1, 1.0, 0.3]),
    groups={},
    person=np.array([0, 1, 2, 3]),
    has_recourse=np.array([True, True, False, True]),
    cost=np.array([2.0, 1.0, np.inf, 4.0]),
    teacher_at=np.array([0.2, 0.3, np.nan, 0.2]),
    student_at=np.array([0.1, -0.1, np.nan, 0.5]),
    reaudited=np.array([True, True, True, False]),
    student_has_recourse=np.array([True, True, False, False]),
    student_cost=np.array([3.0, 0.0, np.inf, np.inf]),
    cosine=np.array([0.5, np.nan, np.nan, np.nan]),
)


@pytest.mark.parametrize(
    ("name", "value"),
    {
        "accuracy": 2 / 7, "accuracy_drop": 2 / 7, "agreement": 5 / 7, "flip_rate": 2 / 7, "boundary_flip_rate": 2 / 4,
        "approval_shift": 0.0, "logit_shift": (0.6 - 0.5 - 1.0 + 0.2) / 7, "frr": 3 / 4, "vd": 1 / 3, "windfall": 1 / 4,
        "crg_mean": (0.5 - 1.0) / 2, "crg_abs": 0.75, "crg_median": -0.25, "crg_ratio": (1.0 - 1.0) / 3.0,
        "crg_above": 1 / 2, "crg_below": 1 / 2, "recourse_lost": 0.0, "direction": 0.5, "margin_condition": 1 / 3,
        "margin_transferred": 1 / 3, "recourse_cost": 7 / 3, "certified": 1 / 3,
        "logit_shift_at": (-0.1 - 0.4 + 0.3) / 3,
    }.items(),
)  # fmt: skip
def test_seven_people_by_hand(name: str, value: float) -> None:
    assert _value(name, SEVEN) == pytest.approx(value, abs=1e-12)


@given(any_evidence())
def test_leniency_where_promises_end_is_what_plain_numpy_says(e: Evidence) -> None:
    people = [i for i in range(len(e.person)) if e.has_recourse[i]]
    if people:
        off = [e.student_at[i] - e.teacher_at[i] for i in people]
        assert _value("logit_shift_at", e) == pytest.approx(sum(off) / len(off), abs=1e-9)
    both = [i for i in people if e.reaudited[i] and e.student_has_recourse[i]]
    if both:
        less = [e.student_cost[i] < 0.999 * e.cost[i] for i in both]
        near = any(abs(e.student_cost[i] - 0.999 * e.cost[i]) < 1e-9 for i in both)
        assert near or _value("crg_below", e) == pytest.approx(sum(less) / len(less), abs=1e-12)


def test_the_bands_rim_is_outside_the_boundary_band() -> None:
    rim = replace(SEVEN, teacher=np.array([0.5, -0.5, 0.49, -0.49, 9.0, 9.0, 9.0]), student=-SEVEN.teacher)
    assert set(METRICS["boundary_flip_rate"].score(rim).rows) == {2, 3}


# ---------------------------------------------------------------------- certificates
def test_the_margin_condition_never_holds_where_the_promise_is_broken() -> None:
    """Ten thousand points, edge values among them: rounding, infinities and NaN included."""
    random = np.random.default_rng(0)
    many = 10_000
    rims = np.array([*EDGES, 1e300, -1e300, np.inf, -np.inf, np.nan, 0.2 + 2**-54, np.finfo(float).max])
    promised, got = (
        np.where(random.random(many) < 0.3, random.choice(rims, many), random.normal(0, 1, many)) for _ in range(2)
    )
    with np.errstate(all="ignore"):
        edge = promised * random.choice([0.0, 1e-16, -1e-16, -1.0, 1.0, 2.0], many)  # exactly on the condition's rim
        got = np.where(np.arange(many) % 7 == 0, edge, got)
        e = replace(
            evidence(0, many, many), teacher_at=promised, student_at=got, has_recourse=random.random(many) < 0.8
        )
        holds = margin(e)
        by_hand = e.has_recourse & (got > 0) & (got < 2 * promised)
    assert 500 < holds.sum() < 5000
    assert (got[holds] > 0).all() and e.has_recourse[holds].all()
    plain = np.isfinite(promised) & np.isfinite(got) & (np.abs(promised) < 1e100) & (np.abs(got) > 1e-12)
    assert (holds == by_hand)[plain & (np.arange(many) % 7 != 0)].all(), "holds where, and only where, 0 < q < 2 f"


@given(any_evidence())
def test_nothing_is_certified_that_fails(e: Evidence) -> None:
    held = METRICS["certified"].score(e)
    kept = dict(zip(e.person[e.has_recourse], e.student_at[e.has_recourse] > 0, strict=True))
    assert all(kept[row] for row, value in zip(held.rows, held.values, strict=True) if value == 1)


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_is_a_sentence_that_holds_of_nobody_without_recourse(name: str) -> None:
    certificate, e = CERTIFICATES[name], evidence(5, 60, 40)
    assert certificate.title and certificate.sentence.endswith(".")
    holds = certificate.holds(e)
    assert holds.dtype == np.bool_ and holds.shape == e.has_recourse.shape
    assert not (holds & ~e.has_recourse).any()
    assert not (holds & ~(e.student_at > 0)).any()


# ---------------------------------------------------------------------- on a real audit
@pytest.fixture(scope="module")
def audited(cell) -> list[Any]:  # type: ignore[no-untyped-def]
    return cell.audits("ptq")


def test_every_name_that_programs_rely_on_is_measured(audited: list[Any]) -> None:
    for a in audited:
        assert not set(PINNED) - set(a.measures.overall)
    for name in PINNED:
        assert name.removesuffix("_matched") in METRICS or name in BY_PIPELINE


def test_no_certificate_holds_where_a_quantized_model_refuses(audited: list[Any]) -> None:
    broken = 0
    for a in audited:
        refused = ~(a.raw.student_at > 0)
        broken += int((refused & a.raw.has_recourse).sum())
        for certificate in CERTIFICATES.values():
            assert not (certificate.holds(a.raw) & refused).any()
    assert broken > 10, "the audit must break promises, else this shows nothing"


def test_evidence_of_an_audit_is_complete(audited: list[Any]) -> None:
    for a in audited:
        for e in (a.raw, a.matched):
            assert (e.teacher[e.person] <= 0).all()
            assert np.isfinite(e.student_at[e.has_recourse]).all() and np.isnan(e.student_at[~e.has_recourse]).all()
            assert np.isfinite(e.cost[e.has_recourse]).all() and np.isinf(e.cost[~e.has_recourse]).all()
            assert (e.teacher_at[e.has_recourse] >= 0.2).all()
            assert not (e.student_has_recourse & ~e.reaudited).any()
            assert np.isfinite(e.student_cost[e.student_has_recourse]).all()
            assert ((e.student_cost == 0) == (e.student[e.person] >= 0.2))[e.student_has_recourse].all()
            assert (np.abs(e.cosine[np.isfinite(e.cosine)]) <= 1 + 1e-12).all()


def test_measures_can_be_recomputed_from_the_evidence(audited: list[Any]) -> None:
    for a in audited:
        again: Measures = measure(METRICS, a.raw, a.matched)
        for name, got in again.overall.items():
            assert got == a.measures.overall[name], name
        assert again.groups == a.measures.groups


def test_a_share_is_the_mean_of_its_rows(audited: list[Any]) -> None:
    for metric in METRICS.values():
        if metric.summary == "share":
            scored = metric.score(audited[0].raw)
            assert summarise(scored, "share").value == (scored.values.mean() if len(scored.values) else None)
