"""The whole data flow of one cell. Read this first.

    table --prepare(seed)--> Design: encoding, action set, split
    designs --teach--> teachers, one a seed, trained as one stack, frozen
    teachers, denied test people --promise--> FP32 recourse              (once, reused by every method)
    teachers, denied training people --training_recourse--> training recourse     (once, where a method asks for it)
    methods x budgets x teachers --audit--> students, evidence, measures

A method learns from training rows and training recourse and may set a threshold on validation rows; test rows are not
among its arguments. The threshold of matched measures is set on validation rows too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from typing_extensions import TypeVar

from cfq_core.actions.action_set import ActionSet
from cfq_core.base.door import Needs, Numbers, door, shown
from cfq_core.base.errors import BadInput, BadTable
from cfq_core.base.identity import identity
from cfq_core.base.plugins import load_all
from cfq_core.base.seeds import numpy_stream, repeatable
from cfq_core.certificates.logit_lower_bound import lower_bound_nearby, lower_bound_rounded, within_half_a_step
from cfq_core.certificates.table import RADIUS
from cfq_core.evidence import MATCHING_SHIFT, OTHER_THRESHOLD, Evidence, Measure, Measures, approved, measure, tied
from cfq_core.matching import Matching, match
from cfq_core.methods.approval_matched import ApprovalMatchedQat
from cfq_core.methods.method import Method, Qat, Students, has_several_sources
from cfq_core.nets.layers import Activation
from cfq_core.nets.stack import Scorer, Stack, score
from cfq_core.quant.bits import BitPlan, average_bits, size_bytes
from cfq_core.quant.grid import WEIGHT_BITS
from cfq_core.quant.quantized import QuantStack, Shifted
from cfq_core.quant.training_data import RecoursePairs, TrainingData
from cfq_core.recourse.find import POSITIVE, Solver, find_recourse, logits64
from cfq_core.recourse.margin import margin_costing
from cfq_core.recourse.outcome import Recourse
from cfq_core.recourse.pgd import Pgd
from cfq_core.recourse.problem import RecourseQuery
from cfq_core.recourse.search import Search
from cfq_core.tables.encode import Encoding
from cfq_core.tables.fitted import fitted
from cfq_core.tables.schema import Table
from cfq_core.tables.split import Split, split
from cfq_core.training.loop import LARGE, Fold, TeacherTraining, train_teachers

SEED = Numbers(0, 2**31 - 1, "the seed of split and training", whole=True)
BUDGETS = Numbers(min(WEIGHT_BITS), max(WEIGHT_BITS), "average bits per weight", several=True)


@dataclass(frozen=True)
class Setting:
    """Everything one cell fixes besides its table, methods, budgets and seeds."""

    KEY = "setting"
    hidden: tuple[int, ...] = (64, 64, 32)  # none: a logistic regression
    kappa: float = 0.2  # logits; the promise's margin, unless `margin` says otherwise
    regime: str = "default"  # of actions
    people: int | None = 2000  # denied test people a seed, a seeded sample; None: all of them
    n_reaudited: int = 1000  # of those, searched a second time on each student (CRG)
    n_training_recourse: int = 4000  # denied training people a seed whose recourse methods may see, a seeded sample
    teacher_training: TeacherTraining = field(default_factory=TeacherTraining)
    solver: Solver = field(default_factory=Search)
    activation: Activation = "relu"  # of the hidden layers
    residual: bool = False  # a hidden layer as wide as the one before it adds that one's output
    activation_bits: int = 8  # of the students
    threshold: float = 0.5  # probability of the favourable outcome above which a teacher approves
    approve: float | None = None  # instead: the share of training people whom each teacher approves
    margin: float | None = None  # instead of kappa: by which share the promise's margin raises its mean cost

    def __post_init__(self) -> None:
        if not isinstance(self.hidden, tuple | list):
            raise BadInput(
                f"Setting: hidden is {shown(self.hidden)}; widths of the hidden layers, such as (64, 64, 32)"
            )
        object.__setattr__(self, "hidden", tuple(self.hidden))
        Numbers(0, 100, "the promise's margin in logits").check(self.kappa, "Setting", "kappa")
        if not hasattr(self.solver, "best"):
            how = 'cfq_core.load("recourse", "search")'
            raise BadInput(f"Setting: solver is {shown(self.solver)}; a recourse solver is needed: {how}")


@dataclass(frozen=True)
class Design:
    """One seed's view of a table."""

    table: Table
    seed: int
    split: Split
    encoding: Encoding
    actions: ActionSet

    def inputs(self, rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n d"]:
        """Model inputs of some rows, float64."""
        return self.encoding.encode(self.table.values[rows])


#: Denied validation people, at most, on whom a margin is solved.
MARGIN_PEOPLE = 200

#: What promises: a teacher trained here, unless said otherwise; an audit of files has imported ones.
Teacher = TypeVar("Teacher", bound=Scorer, default=Stack)


@dataclass(frozen=True)
class TeacherRecourse(Generic[Teacher]):
    """What one teacher told the people it denied."""

    design: Design
    teacher: Teacher  # R = 1, float32, frozen
    logits: Float[np.ndarray, "n"]  # of the test rows
    person: Int[np.ndarray, "k"]  # position among the test rows
    recourse: Recourse  # of those people
    seconds: float
    training_recourse: Recourse | None = None  # recourse of denied training people, where a method asks for it
    training_recourse_seconds: float | None = None  # seconds that took; None where it was stored without them
    activation_bits: int = 8  # of its students
    further_recourse: tuple[Recourse, ...] = ()  # of the same training people, from `FURTHER`; where asked for
    further_seconds: float | None = None
    kappa: float | None = None  # logits, where the setting's `margin` was solved on this teacher

    def margin(self, setting: Setting) -> float:
        """The promise's margin, in logits."""
        return setting.kappa if self.kappa is None else self.kappa


#: Where else promises come from that a method may learn from, besides the setting's: solver and margin (None: the
#: setting's), and one in how many people is asked.
FURTHER: tuple[tuple[Solver, float | None, int], ...] = ((Search(), 0.0, 2), (Pgd(), None, 1), (Pgd(), 0.0, 1))


@dataclass(frozen=True)
class Compared:
    """What was seen of one student beside its teacher, raw and with its threshold moved, and what that measures."""

    threshold: float  # logit at which its approval rate equals the teacher's
    raw: Evidence
    matched: Evidence
    measures: Measures


@dataclass(frozen=True)
class Audited:
    """One student: what it is, what was seen of it, what that measures."""

    seed: int
    method: str
    budget: float
    plan: BitPlan
    average_bits: float
    student: QuantStack  # R = 1
    threshold: float  # logit at which its approval rate equals the teacher's
    raw: Evidence
    matched: Evidence
    measures: Measures


@door(table=Needs("Table"), seed=SEED)
def prepare(table: Table, seed: int, regime: str = "default") -> Design:
    """Split, encoding and action set of one seed, fitted on its training rows."""
    parts = split(table, seed)
    table = fitted(table, parts.train)
    training = table.values[parts.train]
    return Design(
        table, seed, parts, Encoding.fit(table.schema, training), ActionSet.fit(table.schema, training, regime)
    )


def teachers(designs: Sequence[Design], setting: Setting) -> Stack:
    """One full-precision teacher a seed, trained together."""
    seeds = [d.seed for d in designs]
    start = Stack.initial(designs[0].encoding.width, setting.hidden, seeds, setting.activation, setting.residual)
    train, valid = (_fold(designs, part) for part in ("train", "valid"))
    return _cut(train_teachers(start, train, valid, seeds, setting.teacher_training), train, setting)


def _cut(stack: Stack, train: Fold, setting: Setting) -> Stack:
    """The same networks approving above another probability, or a share of training people; 0 logits is the cut."""
    if setting.approve is None and setting.threshold == 0.5:
        return stack
    at = torch.full((stack.runs,), setting.threshold, dtype=torch.float64).logit()
    if setting.approve is not None:
        logits = score(stack.to(torch.float64), train.inputs.double())
        at = torch.quantile(logits, 1.0 - setting.approve, dim=1)
    return replace(stack, biases=(*stack.biases[:-1], (stack.biases[-1].double() - at[:, None]).float()))


@door(designs=Needs("Design", Sequence), setting=Needs("Setting"))
def promise(designs: Sequence[Design], setting: Setting, teacher: Any = None) -> list[TeacherRecourse]:
    """Teachers, and recourse for the test people they deny; repeatable bit for bit.

    ``teacher``: one model of your own instead of those trained here; the path of an ONNX file, a `torch.nn.Module`, a
    fitted scikit-learn model, or what `models.objects.own_teacher` made of a file.
    """
    with repeatable():
        started = time.process_time()
        stack = teachers(designs, setting) if teacher is None else own_teachers(teacher, designs)
        taught = time.process_time() - started
        return [replace(p, seconds=p.seconds + taught / len(designs)) for p in recourse_for(stack, designs, setting)]


def own_teachers(model: Any, designs: Sequence[Design]) -> Stack:
    """One model of somebody's own, seen through the encoding of every design."""
    from cfq_core.models.objects import teacher_from  # needs onnx, which is an extra

    own = teacher_from(model, designs[0].table)
    return Stack.join([own.through(d.encoding) for d in designs]).frozen()


def recourse_for(models: Teacher, designs: Sequence[Design], setting: Setting) -> list[TeacherRecourse[Teacher]]:
    """What given teachers, one a design, tell the test people they deny; searched one model at a time."""
    with repeatable():
        one = [cast("Teacher", models.take([r])) for r in range(len(designs))]  # of the same kind as all of them
        return [_recourse_for(m, d, setting) for m, d in zip(one, designs, strict=True)]


def _recourse_for(model: Teacher, d: Design, setting: Setting) -> TeacherRecourse[Teacher]:
    started, test = time.process_time(), d.table.values[d.split.test]
    logits = logits64(model, 0, d.encoding, test)
    people = _sample(logits <= 0, setting.people, d.seed)
    query, approves = RecourseQuery(test[people], d.encoding, d.actions), [bool((logits > 0).any())]
    solved = None if setting.margin is None else _solved_margin(model, d, setting, setting.margin, approves)
    kappa = setting.kappa if solved is None else solved
    recourse = find_recourse(model, [query], solver_on(d, setting.solver), kappa, approves)
    seconds, bits = time.process_time() - started, setting.activation_bits
    return TeacherRecourse(d, model, logits, people, recourse, seconds, activation_bits=bits, kappa=solved)


def solver_on(design: Design, solver: Solver) -> Solver:
    """A solver as it works on a table of that many rows."""
    quicker = getattr(solver, "of_many_rows", None)
    return cast("Solver", quicker()) if quicker and len(design.split.train) > LARGE else solver


def _solved_margin(model: Scorer, d: Design, setting: Setting, share: float, approves: Sequence[bool]) -> float:
    """The margin in logits that costs validation people this share more."""
    valid = d.table.values[d.split.valid]
    people = _sample(logits64(model, 0, d.encoding, valid) <= 0, MARGIN_PEOPLE, d.seed)
    query, solver = RecourseQuery(valid[people], d.encoding, d.actions), solver_on(d, setting.solver)
    return margin_costing(share, model, query, solver, approves)


@door(promises=Needs("TeacherRecourse", Sequence), setting=Needs("Setting"))
def training_recourse(promises: Sequence[TeacherRecourse], setting: Setting) -> list[TeacherRecourse]:
    """The same promises with recourse for a sample of the training people their teachers deny."""
    with repeatable():
        return [_with_training_recourse(p, setting) for p in promises]


def _with_training_recourse(p: TeacherRecourse, setting: Setting) -> TeacherRecourse:
    started, training = time.process_time(), p.design.table.values[p.design.split.train]
    denied = logits64(p.teacher, 0, p.design.encoding, training) <= 0
    people = _sample(denied, setting.n_training_recourse, p.design.seed)
    query = RecourseQuery(training[people], p.design.encoding, p.design.actions)
    recourse = find_recourse(p.teacher, [query], solver_on(p.design, setting.solver), p.margin(setting))
    seconds = time.process_time() - started
    return replace(p, training_recourse=recourse, training_recourse_seconds=seconds)


def further_recourse(promises: Sequence[TeacherRecourse], setting: Setting) -> list[TeacherRecourse]:
    """The same promises with recourse from `FURTHER` for those who have training recourse; kept where it is there."""
    with repeatable():
        return [_with_further_recourse(p, setting) for p in promises]


def _with_further_recourse(p: TeacherRecourse, setting: Setting) -> TeacherRecourse:
    if p.training_recourse is None or p.further_recourse:
        return p
    started, found = time.process_time(), []
    for solver, kappa, one_in in FURTHER:
        few = RecourseQuery(p.training_recourse.before[::one_in], p.design.encoding, p.design.actions)
        margin = p.margin(setting) if kappa is None else kappa
        found.append(find_recourse(p.teacher, [few], solver_on(p.design, solver), margin))
    return replace(p, further_recourse=tuple(found), further_seconds=time.process_time() - started)


#: Students that are there already, by their method's identity, seed and budget, for methods that take others' students.
Known = Mapping[tuple[str, int, float], Students]


@door(
    promises=Needs("TeacherRecourse", Sequence),
    methods=Needs("Method", Mapping),
    budgets=BUDGETS,
    setting=Needs("Setting"),
)
def audit(
    promises: Sequence[TeacherRecourse],
    methods: Mapping[str, Method],
    budgets: Sequence[float],
    setting: Setting,
    known: Known | None = None,
) -> list[Audited]:
    """The students of some methods at every budget for every teacher, and whether the promises survive on them.

    No student depends on what else is asked for. A method that
    learns from recourse has no student of a teacher on which no training person has any (`NO_TRAINING_RECOURSE`);
    the other teachers and methods have theirs. ``known``: students of other methods that need not be made again.
    """
    with repeatable():
        made = _students(methods, promises, budgets, known or {}, setting)
        return [a for name in methods if name in made for a in _audited(name, made[name], budgets, setting)]


#: Why a method that learns from recourse has no student of some teacher.
NO_TRAINING_RECOURSE = "no training person has recourse on this teacher, so there is nothing to learn from"


def has_training_recourse(p: TeacherRecourse) -> bool:
    """Whether there is training recourse to learn from; where it was never looked for, a method will say so."""
    return p.training_recourse is None or bool(p.training_recourse.has_recourse.any())


@dataclass(frozen=True)
class _Made:
    """A method's students, whose they are, and the CPU seconds each took; a method's own share its stack's seconds."""

    promises: Sequence[TeacherRecourse]
    method: Method
    students: Students
    seconds: float


def _students(
    methods: Mapping[str, Method],
    promises: Sequence[TeacherRecourse],
    budgets: Sequence[float],
    known: Known,
    setting: Setting,
) -> dict[str, _Made]:
    """The students of every method, each trained in a stack of its own, so that its seconds are nobody else's."""
    out: dict[str, _Made] = {}
    for name, method in sorted(methods.items(), key=lambda item: isinstance(item[1], ApprovalMatchedQat)):
        of = [p for p in promises if has_training_recourse(p)] if method.needs_recourse else promises
        if not of:
            continue
        of = further_recourse(of, setting) if has_several_sources(method) else of
        started = time.process_time()
        made = _of_method(method, of, budgets, {**known, **_each(out.values(), budgets)})
        out[name] = _Made(of, method, made, (time.process_time() - started) / made.models.runs)
    return out


def _of_method(method: Method, promises: Sequence[TeacherRecourse], budgets: Sequence[float], known: Known) -> Students:
    data = training_data_of(promises)
    if isinstance(method, ApprovalMatchedQat):
        cells = [[(identity(m), p.design.seed, b) for p in promises for b in budgets] for m in method.sources]
        if all(cell in known for of in cells for cell in of):
            return method.of_sources(data, budgets, *(Students.join([known[c] for c in of]) for of in cells))
    return method.students(data, budgets)


def _each(made: Iterable[_Made], budgets: Sequence[float]) -> Known:
    """Every student made so far, by what it is of."""
    return {
        (identity(m.method), seed, b): m.students.take([i])
        for m in made
        for i, (seed, b) in enumerate((p.design.seed, b) for p in m.promises for b in budgets)
    }


def _audited(method: str, made: _Made, budgets: Sequence[float], setting: Setting) -> list[Audited]:
    students, each = made.students, [(p, b) for p in made.promises for b in budgets]
    seen = compared([p for p, _ in each], students.models, setting)
    out = []
    for r, ((p, budget), c) in enumerate(zip(each, seen, strict=True)):
        plan, student = students.plans[r], students.models.take([r])
        outputs = [w.shape[1] for w in p.teacher.weights]
        c.measures.overall["size_bytes"] = _plain(
            size_bytes(plan, p.teacher.sizes, outputs) + student.activations.size_bytes
        )
        c.measures.overall["seconds"] = _plain(made.seconds)
        c.measures.overall.update(_learning_from_recourse(made.method, p))
        bits = average_bits(plan, p.teacher.sizes)
        out.append(
            Audited(p.design.seed, method, budget, plan, bits, student, c.threshold, c.raw, c.matched, c.measures)
        )
    return out


def compared(promises: Sequence[TeacherRecourse[Any]], models: Scorer, setting: Setting) -> list[Compared]:
    """Whether each promise survives on the model beside it (run r of ``models``), raw and at matched approval."""
    return [_compared(p, models.take([r]), setting) for r, p in enumerate(promises)]


def _compared(p: TeacherRecourse[Any], model: Scorer, setting: Setting) -> Compared:
    found = matching(p, model)
    moved = float(found.threshold[0])
    raw, matched = _evidence(p, model, moved, setting)
    bounds = _lowest(p, model)
    raw = replace(raw, logit_lower_bound=bounds)
    matched = replace(matched, logit_lower_bound={name: low - moved for name, low in bounds.items()})
    metrics = load_all("metrics")
    measures = measure(metrics, raw, matched)
    measures.overall[MATCHING_SHIFT] = Measure(float(found.shift[0]), None, None, len(p.design.split.valid))
    if found.other[0] != moved:
        measures.overall[OTHER_THRESHOLD] = _plain(found.other[0])
        measures.overall.update(tied(metrics, raw, float(found.other[0])))
    return Compared(moved, raw, matched, measures)


def _learning_from_recourse(method: Method, p: TeacherRecourse) -> dict[str, Measure]:
    """Seconds that training recourse took, found once; and what finding it anew in every training step would take.

    The second is computed, not run: people a step times steps times seconds a person, as if small batches were as
    quick as large ones. That is the way of the paper, whose teacher searches while the student learns.
    """
    if not method.needs_recourse:
        return {"training_recourse_seconds": _plain(0.0)}
    if p.training_recourse is None or p.training_recourse_seconds is None:
        return {}
    took = p.training_recourse_seconds + (p.further_seconds or 0.0 if has_several_sources(method) else 0.0)
    out = {"training_recourse_seconds": _plain(took)}
    if isinstance(method, Qat):
        people = method.schedule.pairs_per_step * method.schedule.steps(len(p.design.split.train))
        out["on_the_fly_seconds"] = _plain(
            p.training_recourse_seconds / max(1, len(p.training_recourse.has_recourse)) * people
        )
    return out


def _plain(value: float | int) -> Measure:
    return Measure(float(value), None, None, 1)


def _fold(designs: Sequence[Design], part: str) -> Fold:
    rows = [getattr(d.split, part) for d in designs]
    inputs = np.stack([d.inputs(r).astype(np.float32) for d, r in zip(designs, rows, strict=True)])
    outcome = np.stack([d.table.outcome[r] for d, r in zip(designs, rows, strict=True)])
    each = [w for d, r in zip(designs, rows, strict=True) if (w := _of_mean_one(d, r)) is not None]
    weight = torch.tensor(np.stack(each), dtype=torch.float32) if each else None
    return Fold(torch.from_numpy(inputs), torch.tensor(outcome, dtype=torch.float32), weight)


def _of_mean_one(design: Design, rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"] | None:
    """Sampling weights of the rows of one part, of mean 1; None where the table has none."""
    if design.table.row_weight is None:
        return None
    weight = design.table.row_weight[rows]
    if not weight.any():
        raise BadTable(f"{design.table.schema.name}: every row of a part of seed {design.seed} has weight 0")
    weight = weight / weight.max()  # sums of the least floats would be none
    return weight / weight.mean()


def training_data_of(promises: Sequence[TeacherRecourse]) -> TrainingData:
    """What methods may see of teachers that were taught together; recourse where every one of them has some."""
    train, valid = (_fold([p.design for p in promises], part) for part in ("train", "valid"))
    seeds = tuple(p.design.seed for p in promises)
    stack, bits = Stack.join([p.teacher for p in promises]), promises[0].activation_bits
    known = (stack, train.inputs, train.outcome, seeds, _pairs(promises), bits, valid.inputs, valid.outcome)
    return TrainingData(*known, _further_pairs(promises), train.row_weight)


def _pairs(promises: Sequence[TeacherRecourse]) -> RecoursePairs | None:
    """Encoded training recourse of every teacher; None where one has none."""
    recourse = [p.training_recourse for p in promises if has_training_recourse(p) and p.training_recourse is not None]
    return _encoded(promises, recourse) if len(recourse) == len(promises) else None


def _further_pairs(promises: Sequence[TeacherRecourse]) -> tuple[RecoursePairs, ...]:
    """The same of each further source; a teacher on which a source found nothing has its first recourse there."""
    own = [p.training_recourse for p in promises if p.training_recourse is not None and p.further_recourse]
    if len(own) < len(promises) or not all(map(has_training_recourse, promises)):
        return ()
    each = zip(*(p.further_recourse for p in promises), strict=True)
    return tuple(
        _encoded(promises, [r if r.has_recourse.any() else o for r, o in zip(of, own, strict=True)]) for of in each
    )


def _encoded(promises: Sequence[TeacherRecourse], recourse: Sequence[Recourse]) -> RecoursePairs:
    """Encoded recourse of every teacher, padded by repetition."""
    count = [int(r.has_recourse.sum()) for r in recourse]
    width = max(count)
    ends = []
    for side in ("before", "after"):
        rows = [np.resize(np.flatnonzero(r.has_recourse), width) for r in recourse]
        values = [getattr(r, side)[i] for r, i in zip(recourse, rows, strict=True)]
        encoded = [p.design.encoding.encode(v) for p, v in zip(promises, values, strict=True)]
        ends.append(torch.tensor(np.stack(encoded), dtype=torch.float32))
    return RecoursePairs(ends[0], ends[1], torch.tensor(count))


def _sample(denied: Bool[np.ndarray, "n"], people: int | None, seed: int) -> Int[np.ndarray, "k"]:
    """A seeded random sample of the denied, in row order; in random order it would also be a sample of the sample."""
    rows = np.flatnonzero(denied)
    if people is None or len(rows) <= people:
        return rows
    return np.sort(numpy_stream(seed, "pipeline/people").permutation(rows)[:people])


def matching(p: TeacherRecourse[Any], models: Scorer) -> Matching:
    """Where each student approves as many validation rows as the teacher: rows that no student was trained on."""
    rows, encoding = p.design.table.values[p.design.split.valid], p.design.encoding
    wanted = int(approved(logits64(p.teacher, 0, encoding, rows)).sum())
    return match(np.stack([logits64(models, run, encoding, rows) for run in range(models.runs)]), wanted)


def matching_threshold(p: TeacherRecourse[Any], models: Scorer, run: int) -> float:
    """Logit above which a student approves as many validation rows as the teacher does, or as nearly as ties allow."""
    return float(matching(p, models.take([run])).threshold[0])


def _lowest(p: TeacherRecourse[Any], student: Scorer) -> dict[str, Float[np.ndarray, "k"]]:
    """What certificates need: bounds of the student's logit around the recommended points. None of a foreign model."""
    if not isinstance(student, QuantStack):
        return {}
    found, design = p.recourse.has_recourse, p.design
    inputs = design.encoding.encode(p.recourse.after[found])
    movable = [design.encoding.starts[i] for i in design.actions.numbers]
    bounds = {"region": lower_bound_nearby(student, inputs, movable, RADIUS, "each")}
    if isinstance(p.teacher, Stack) and within_half_a_step(p.teacher, student):
        bounds["rounding"] = lower_bound_rounded(p.teacher, student, inputs)
    out = {name: np.full(len(found), -np.inf) for name in bounds}
    for name, low in bounds.items():
        out[name][found] = low
    return out


def _evidence(p: TeacherRecourse[Any], model: Scorer, moved: float, setting: Setting) -> list[Evidence]:
    """Evidence of one student (R = 1), raw and with its threshold moved."""
    both = Shifted(model.take([0, 0]), torch.tensor([0.0, moved], dtype=torch.float64))
    asked = _sample(np.ones(len(p.person), bool), setting.n_reaudited, p.design.seed)
    test = p.design.table.values[p.design.split.test]
    student, at = ([logits64(both, r, p.design.encoding, v) for r in (0, 1)] for v in (test, p.recourse.after))
    own = _own_recourse(p, both, moved, asked, [bool((z > 0).any()) for z in student], setting)
    return [_seen(p, student[r], at[r], asked, own[r]) for r in (0, 1)]


def _own_recourse(
    p: TeacherRecourse[Any],
    both: Shifted,
    moved: float,
    asked: Int[np.ndarray, "a"],
    approves: Sequence[bool],
    setting: Setting,
) -> list[Recourse]:
    """What one student tells the same people, raw and with its threshold moved: searches that start from the promise.

    The stricter threshold comes first: its answers hold at the other one, which starts from them.
    """
    strict, loose = (1, 0) if moved > 0 else (0, 1)
    promised, solver = p.recourse.after[asked], solver_on(p.design, setting.solver)
    query = RecourseQuery(p.recourse.before[asked], p.design.encoding, p.design.actions, promised)

    def found(run: int, query: RecourseQuery) -> Recourse:
        return find_recourse(both.take([run]), [query], solver, p.margin(setting), [approves[run]])

    first = found(strict, query)
    if moved == 0:
        return [first, first]
    still = logits64(both, loose, p.design.encoding, promised) >= max(p.margin(setting), POSITIVE)
    settled = first.has_recourse & ~(still & (p.recourse.cost[asked] < first.cost))
    known = np.where(settled[:, None], first.after, promised)
    second = found(loose, replace(query, known=known, settled=settled))
    return [second, first] if strict else [first, second]


def _seen(
    p: TeacherRecourse[Any],
    student: Float[np.ndarray, "n"],
    at: Float[np.ndarray, "k"],
    asked: Int[np.ndarray, "a"],
    again: Recourse,
) -> Evidence:
    k, test = len(p.person), p.design.split.test
    found = p.recourse.has_recourse
    cosine = np.full(k, np.nan)
    cosine[asked] = _cosine(p, asked, again)
    student_has_recourse, student_cost = np.zeros(k, bool), np.full(k, np.inf)
    student_has_recourse[asked], student_cost[asked] = again.has_recourse, again.cost
    proved = np.zeros(k, bool)
    proved[asked] = p.recourse.proved[asked] & again.proved
    after, why, lower = p.recourse.before.copy(), np.full(k, -1), np.zeros(k)
    after[asked], why[asked], lower[asked] = again.after, again.why, again.lower
    return Evidence(
        outcome=p.design.table.outcome[test],
        teacher=p.logits,
        student=student,
        groups={name: [levels[i] for i in test] for name, levels in p.design.table.groups().items()},
        person=p.person,
        has_recourse=found,
        cost=p.recourse.cost,
        teacher_at=p.recourse.margin,
        student_at=np.where(found, at, np.nan),
        reaudited=np.isin(np.arange(k), asked),
        student_has_recourse=student_has_recourse,
        student_cost=student_cost,
        cosine=cosine,
        proved=proved,
        student_after=after,
        student_why=why,
        student_lower=lower,
    )


def _cosine(p: TeacherRecourse[Any], asked: Int[np.ndarray, "a"], again: Recourse) -> Float[np.ndarray, "a"]:
    """Cosine of promised and student's action in cost-scaled space; NaN where one is missing or empty."""
    mine = p.design.actions.displacement(p.recourse.before[asked], p.recourse.after[asked])
    theirs = p.design.actions.displacement(again.before, again.after)
    length = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length > 0, (mine * theirs).sum(1) / length, np.nan)
