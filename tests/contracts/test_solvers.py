"""Every recourse solver: what it returns can be done, is what it says, and costs what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch

from cfq_core import pipeline
from cfq_core.base import plugins
from cfq_core.base.seeds import repeatable
from cfq_core.nets.stack import Scorer, Stack
from cfq_core.pipeline import Design
from cfq_core.quant.quantized import QuantStack, Shifted
from cfq_core.recourse.find import POSITIVE, Solver, find_recourse, logits64
from cfq_core.recourse.outcome import Recourse, Why
from cfq_core.recourse.problem import Points, Problem, RecourseQuery

PEOPLE = 20  # a model
KAPPAS = (0.0, 0.2, 12.0)
every_solver = pytest.mark.parametrize("name", plugins.names("recourse"))
starting = [n for n in plugins.names("recourse") if getattr(plugins.load("recourse", n), "STARTS", False)]
every_start = pytest.mark.parametrize("name", starting)
every_kappa = pytest.mark.parametrize("kappa", KAPPAS)
every_model = pytest.mark.parametrize("kind", ["teacher", "student", "matched"])


@dataclass(frozen=True, eq=False)
class Questions:
    """The denied of both seeds, asking models of one kind."""

    models: dict[str, Scorer]
    designs: list[Design]
    values: tuple[np.ndarray, ...]

    @cache  # noqa: B019  (one a session)
    def answers(self, name: str, kind: str, kappa: float) -> Recourse:
        return self.ask(name, kind, kappa)

    def queries(self, regime: str | None = None) -> list[RecourseQuery]:
        designs = self.designs if regime is None else [pipeline.prepare(d.table, d.seed, regime) for d in self.designs]
        return [RecourseQuery(v.copy(), d.encoding, d.actions) for v, d in zip(self.values, designs, strict=True)]

    def promised(self, kappa: float) -> list[RecourseQuery]:
        """The same questions, with what the teachers promised known."""
        told = self.answers("search", "teacher", kappa)
        return [replace(q, known=told.of(run).after) for run, q in enumerate(self.queries())]

    def ask(self, name: str, kind: str, kappa: float, queries: Sequence[RecourseQuery] | None = None) -> Recourse:
        with repeatable():
            return find_recourse(self.models[kind], queries or self.queries(), plugins.load("recourse", name), kappa)


@pytest.fixture(scope="module")
def questions(cell) -> Questions:  # type: ignore[no-untyped-def]
    teachers = Stack.join([p.teacher for p in cell.promises])
    audits = [a for a in cell.audits("ptq") if a.budget == 3.5]
    students = QuantStack.join([a.student for a in audits])
    moved = Shifted(students, torch.tensor([a.threshold for a in audits], dtype=torch.float64))
    values = tuple(p.recourse.before[:PEOPLE] for p in cell.promises)
    return Questions({"teacher": teachers, "student": students, "matched": moved}, cell.designs, values)


def _bytes(queries: Sequence[RecourseQuery], models: Scorer) -> list[bytes]:
    tensors = list(models.parameters) if isinstance(models, Stack) else [models.first_weight, models.first_bias]
    return [a.values.tobytes() for a in queries] + [t.numpy().tobytes() for t in tensors]


@every_solver
def test_a_solver_is_a_solver(name: str) -> None:
    assert isinstance(plugins.load("recourse", name), Solver)


@every_solver
@every_kappa
@every_model
def test_an_answer_can_be_done_and_reaches_the_margin(name: str, kappa: float, kind: str, questions: Questions) -> None:
    r = questions.answers(name, kind, kappa)
    for run, design in enumerate(questions.designs):
        mine = r.of(run)
        assert design.actions.legal(mine.before, mine.after).all()
        assert design.encoding.decode(design.encoding.encode(mine.after)).tolist() == mine.after.tolist()
        logits = logits64(questions.models[kind], run, design.encoding, mine.after)
        assert (logits[mine.has_recourse] >= max(kappa, POSITIVE)).all(), "judged anew in float64"
        np.testing.assert_array_equal(mine.margin[mine.has_recourse], logits[mine.has_recourse])


@every_solver
@every_kappa
def test_where_nothing_was_found_nobody_is_moved(name: str, kappa: float, questions: Questions) -> None:
    r = questions.answers(name, "teacher", kappa)
    np.testing.assert_array_equal(r.after[~r.has_recourse], r.before[~r.has_recourse])
    assert np.isinf(r.cost[~r.has_recourse]).all() and np.isnan(r.margin[~r.has_recourse]).all()
    assert set(np.unique(r.why)) <= {int(w) for w in Why}
    assert (r.has_recourse == (r.why == Why.FOUND)).all()


@every_solver
@every_kappa
def test_the_cost_is_the_action_sets(name: str, kappa: float, questions: Questions) -> None:
    r = questions.answers(name, "teacher", kappa)
    for run, design in enumerate(questions.designs):
        mine = r.of(run)
        expected = design.actions.cost(mine.before, mine.after)
        np.testing.assert_array_equal(mine.cost[mine.has_recourse], expected[mine.has_recourse])
        np.testing.assert_array_equal(
            (mine.before == mine.after).all(1)[mine.has_recourse], mine.cost[mine.has_recourse] == 0
        )


@every_solver
@every_kappa
def test_fixed_features_stay_bit_for_bit(name: str, kappa: float, questions: Questions) -> None:
    r = questions.answers(name, "student", kappa)
    for run, design in enumerate(questions.designs):
        mine = r.of(run)
        before, after = design.encoding.encode(mine.before), design.encoding.encode(mine.after)
        for i, (f, start) in enumerate(zip(design.actions.schema.features, design.encoding.starts, strict=True)):
            if f.move == "fixed":
                np.testing.assert_array_equal(mine.before[:, i], mine.after[:, i])
                width = slice(start, start + (len(f.levels) if f.is_category else 1))
                assert before[:, width].tobytes() == after[:, width].tobytes()


@every_solver
def test_people_and_models_are_not_changed(name: str, questions: Questions) -> None:
    for kind in ("teacher", "student"):
        queries = questions.queries()
        before = _bytes(queries, questions.models[kind])
        r = questions.ask(name, kind, 0.2, queries)
        assert _bytes(queries, questions.models[kind]) == before
        np.testing.assert_array_equal(r.before, np.concatenate([a.values for a in queries]))


@every_solver
def test_asking_again_gives_the_same_bits(name: str, questions: Questions) -> None:
    first, again = questions.answers(name, "teacher", 0.2), questions.ask(name, "teacher", 0.2)
    for field in ("run", "before", "after", "cost", "margin", "why"):
        assert getattr(first, field).tobytes() == getattr(again, field).tobytes(), field


@every_solver
def test_an_answer_does_not_depend_on_who_else_asks(name: str, questions: Questions) -> None:
    together = questions.answers(name, "teacher", 0.2)
    for run in range(2):
        queries = [
            RecourseQuery(a.values if r == run else a.values[:3], a.encoding, a.actions)
            for r, a in enumerate(questions.queries())
        ]
        fewer = questions.ask(name, "teacher", 0.2, queries).of(run)
        np.testing.assert_array_equal(fewer.after, together.of(run).after)
        np.testing.assert_array_equal(fewer.cost, together.of(run).cost)


@every_solver
@pytest.mark.parametrize("regime", ["any", "immutable", "strict"])
def test_answers_keep_to_the_regime(name: str, regime: str, questions: Questions) -> None:
    queries = questions.queries(regime)
    r = questions.ask(name, "teacher", 0.2, queries)
    for run, ask in enumerate(queries):
        mine = r.of(run)
        assert ask.actions.legal(mine.before, mine.after).all()
        np.testing.assert_array_equal(
            mine.cost[mine.has_recourse], ask.actions.cost(mine.before, mine.after)[mine.has_recourse]
        )


def _same(one: Recourse, other: Recourse) -> None:
    for field in ("run", "before", "after", "cost", "margin", "why"):
        assert getattr(one, field).tobytes() == getattr(other, field).tobytes(), field


@every_start
@every_kappa
@pytest.mark.parametrize("kind", ["student", "matched"])
def test_none_costs_more_than_a_promise_that_holds(name: str, kappa: float, kind: str, questions: Questions) -> None:
    queries = questions.promised(kappa)
    r = questions.ask(name, kind, kappa, queries)
    for run, ask in enumerate(queries):
        assert ask.known is not None
        mine, promised = r.of(run), ask.actions.cost(ask.values, ask.known)
        holds = logits64(questions.models[kind], run, ask.encoding, ask.known) >= max(kappa, POSITIVE)
        assert mine.has_recourse[holds].all()
        assert (mine.cost[holds] <= promised[holds]).all()
        assert kappa == 12 or (holds.any() and not holds.all()), "promises of both kinds"


class Idle:
    """Finds nothing."""

    STARTS = True

    def best(self, problem: Problem, feasible: torch.Tensor) -> Points:
        return problem.own


def test_a_promise_that_holds_is_an_answer_whatever_the_solver_finds(questions: Questions) -> None:
    queries = questions.promised(0.2)
    with repeatable():
        r = find_recourse(questions.models["student"], queries, Idle(), 0.2)
    for run, ask in enumerate(queries):
        assert ask.known is not None
        mine, holds = r.of(run), logits64(questions.models["student"], run, ask.encoding, ask.known) >= 0.2
        own = logits64(questions.models["student"], run, ask.encoding, ask.values) >= 0.2
        np.testing.assert_array_equal(mine.has_recourse, holds | own)
        np.testing.assert_array_equal(mine.after[holds & ~own], ask.known[holds & ~own])
        assert (mine.cost[holds] <= ask.actions.cost(ask.values, ask.known)[holds]).all()
        assert (mine.why[mine.has_recourse] == Why.FOUND).all()


@pytest.mark.parametrize("ending", ["raw", "matched"])
def test_an_audit_asks_nobody_for_more_than_a_promise_that_holds(ending: str, cell) -> None:  # type: ignore[no-untyped-def]
    for method in ("ptq", "qat_lsq"):
        for a in cell.audits(method):
            e = getattr(a, ending)
            holds = e.reaudited & e.has_recourse & (e.student_at >= max(cell.setting.kappa, POSITIVE))
            assert e.student_has_recourse[holds].all()
            assert (e.student_cost[holds] <= e.cost[holds]).all()


@pytest.mark.parametrize("moved", [-0.3, 0.0, 0.3])
def test_the_stricter_threshold_is_never_cheaper(moved: float, cell) -> None:  # type: ignore[no-untyped-def]
    p, model = cell.promises[0], cell.audits("ptq")[0].student
    with repeatable():
        raw, matched = pipeline._evidence(p, model, moved, cell.setting)
    np.testing.assert_array_equal(raw.student_at - moved, matched.student_at)
    strict, loose = (matched, raw) if moved > 0 else (raw, matched)
    assert (loose.student_cost <= strict.student_cost).all()
    if moved == 0:
        np.testing.assert_array_equal(raw.student_cost, matched.student_cost)
    else:
        assert (loose.student_cost < strict.student_cost).any()


@pytest.mark.parametrize("kind", ["student", "matched"])
def test_what_is_known_makes_no_proved_answer_cheaper_or_dearer(kind: str, questions: Questions) -> None:
    queries = questions.promised(0.2)
    best, warm = questions.ask("exact", kind, 0.2, queries), questions.ask("search", kind, 0.2, queries)
    cold = questions.answers("exact", kind, 0.2)
    both = best.proved & cold.proved & best.has_recourse
    assert both.sum() > PEOPLE
    np.testing.assert_allclose(best.cost[both], cold.cost[both], rtol=1e-6)
    assert (best.cost <= warm.cost).all()
    assert (warm.cost >= cold.lower * (1 - 1e-9)).all()


@every_start
def test_an_answer_from_a_promise_does_not_depend_on_who_else_asks(name: str, questions: Questions) -> None:
    queries = questions.promised(0.2)
    together = questions.ask(name, "student", 0.2, queries)
    for run in range(2):
        few = [q if r == run else q.take(slice(3)) for r, q in enumerate(queries)]
        fewer = questions.ask(name, "student", 0.2, few).of(run)
        np.testing.assert_array_equal(fewer.after, together.of(run).after)
        np.testing.assert_array_equal(fewer.cost, together.of(run).cost)
    odd = [q.take(slice(1, None, 2)) for q in queries]
    np.testing.assert_array_equal(
        questions.ask(name, "student", 0.2, odd).cost,
        np.concatenate([together.of(run).cost[1::2] for run in range(2)]),
    )


@every_solver
def test_own_rows_and_rows_nobody_may_go_to_are_as_if_nothing_were_known(name: str, questions: Questions) -> None:
    cold, queries = questions.answers(name, "student", 0.2), questions.queries()
    _same(questions.ask(name, "student", 0.2, [replace(q, known=q.values) for q in queries]), cold)
    moved = []
    for q in queries:
        known, fixed = q.values.copy(), [i for i, f in enumerate(q.actions.schema.features) if f.move == "fixed"]
        known[:, fixed[0]] += np.where(known[:, fixed[0]] > 0, -1, 1)
        assert not q.actions.legal(q.values, known).any()
        moved.append(replace(q, known=known))
    _same(questions.ask(name, "student", 0.2, moved), cold)


@every_solver
def test_nobody_asking_is_answered_with_nothing(name: str, questions: Questions) -> None:
    queries = questions.queries()
    nobody = [RecourseQuery(a.values[:0], a.encoding, a.actions) for a in queries]
    assert len(questions.ask(name, "teacher", 0.2, nobody).run) == 0
    one_sided = questions.ask(name, "teacher", 0.2, [nobody[0], queries[1]])
    assert len(one_sided.of(0).run) == 0 and len(one_sided.of(1).run) == PEOPLE


@every_solver
def test_a_model_that_approves_nobody_has_no_answers_and_says_why(name: str, questions: Questions) -> None:
    teachers = questions.models["teacher"]
    assert isinstance(teachers, Stack)
    never = Stack(
        (*teachers.weights[:-1], torch.zeros_like(teachers.weights[-1])),
        (*teachers.biases[:-1], torch.full_like(teachers.biases[-1], -1.0)),
    )
    with repeatable():
        r = find_recourse(never, questions.queries(), plugins.load("recourse", name), 0.2, [False, False])
    assert not r.has_recourse.any()
    np.testing.assert_array_equal(r.after, r.before)
    assert set(np.unique(r.why)) <= {Why.NO_ACTION, Why.NEVER_APPROVES}


def test_the_questions_are_worth_asking(questions: Questions) -> None:
    """The default search finds most but not all, so both kinds of answer are looked at above."""
    shares = [questions.answers("search", "teacher", kappa).has_recourse.mean() for kappa in KAPPAS]
    assert shares[0] >= shares[1] > 0.9
    assert 0 < shares[2] < 1
    switched = questions.answers("search", "teacher", 0.2)
    kinds = [f.is_category for f in questions.designs[0].actions.schema.features]
    moved = (switched.before != switched.after).any(0)
    assert moved[kinds].any() and moved[[not k for k in kinds]].any(), "numbers and categories move"
