"""From a TOML plan or command-line options to run specs. Here, and only here, a name becomes an object.

name = "first look"
datasets = ["german", "my/card.toml", "compas:age!=under 25"]  # the last is trained on people of 25 and over alone
methods = ["ptq"]            # or "all"
bits = [2, 3, 4, 8]          # budgets, average bits per weight
seeds = 5                    # a count, or a list
hidden = [64, 64, 32]        # [] is a logistic regression
activation = "relu"          # or leaky_relu, elu, gelu, silu, tanh, sigmoid, hard_swish, none
residual = false             # true: a hidden layer as wide as the one before it adds that one's output
activation_bits = 8          # or 6, 4
kappa = 0.2                  # logits; a list makes a study over several settings; or
margin = "cost:10%"          # the margin, solved for each teacher, that costs people 10 % more
people = 2000                # denied test people a seed, or "all"
regime = "default"           # or a list
probes = ["action_noise"]    # further questions, see `cfq parts`; none unless named
recourse = "search"         # or a list; "pgd:5": the paper's teacher with 5 steps; "exact:4": 4 CPU seconds a person
threshold = 0.5              # probability above which a teacher approves; or
approve = "30%"              # the share of training people whom it approves
teacher = "model.onnx"       # a model of your own, in place of trained ones; or a table:
# teacher = { path = "model.onnx", favourable = "low", threshold = 0.2, output = "probability", layout = "raw" }
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from cfq_core.actions.regimes import REGIMES
from cfq_core.base import plugins
from cfq_core.base.errors import BadPlan, CfqError, UnknownName, did_you_mean, unknown
from cfq_core.base.identity import identity
from cfq_core.datasets import slices
from cfq_core.datasets.card import read_card
from cfq_core.methods.method import Method, Qat
from cfq_core.nets.layers import ACTIVATIONS
from cfq_core.pipeline import Setting
from cfq_core.quant.grid import ACTIVATION_BITS, WEIGHT_BITS
from cfq_core.study import estimate
from cfq_core.study.solvers import solver_named
from cfq_core.tables.schema import Table

MOST_SEEDS = 1000
MOST_RUNS = 100_000  # quantized models of one plan; what a store, a page and a patient person can take
MOST_LAYERS = 16
WIDEST = 4096


@dataclass(frozen=True)
class TeacherFile:
    """A file that is the one teacher of a study, and how it is read (as `models.contract` has it)."""

    KEY = "teacher_file"
    path: str
    favourable: str = ""
    threshold: float | None = None
    output: str = "auto"
    layout: str = "auto"
    unseen: bool = False  # the table's own split keeps the rows it is judged on from it; found when it is run


@dataclass(frozen=True)
class Plan:
    """Every data set x setting x method x budget x seed of a study."""

    KEY = "plan"
    datasets: tuple[str, ...]
    methods: tuple[str, ...] = ("ptq",)
    bits: tuple[float, ...] = (2.0, 3.0, 4.0, 8.0)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    setting: Setting = field(default_factory=Setting)
    name: str = ""
    further: tuple[Setting, ...] = ()  # settings beside the first, where a key was given as a list
    probes: tuple[str, ...] = ()  # asked of the runs once they are there; no run's identity depends on them
    teacher: TeacherFile | None = None  # an own model, in place of teachers that are trained

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every setting of the study, in the order they were given."""
        return (self.setting, *self.further)

    @property
    def title(self) -> str:
        """The plan's name, or what it is about."""
        methods = ", ".join(self.methods) if len(self.methods) <= 3 else f"{len(self.methods)} methods"
        return self.name or f"{', '.join(map(called, self.datasets))}: {methods}"


@dataclass(frozen=True)
class TeacherSpec:
    """Everything that determines a teacher and its promises."""

    KEY = "teacher"
    revision: int
    data: str  # fingerprint of table and schema
    seed: int
    setting: Setting
    numerics: str  # which kernels computed it (`base.numerics.tag`): they decide how sums round
    own: Any = None  # `models.own.OwnSpec` of a teacher that was not trained here
    large: int = 0  # `LARGE_REVISION` of a wide or long table, whose id it is part of; 0 of all others

    @property
    def id(self) -> str:
        """Identity of this spec."""
        return identity(self)


@dataclass(frozen=True)
class RunSpec:
    """Everything that determines one student and what is measured of it."""

    KEY = "run"
    teacher: TeacherSpec
    method: Method | Qat
    budget: float

    @property
    def id(self) -> str:
        """Identity of this spec."""
        return identity(self)


def called(dataset: str) -> str:
    """A data set's name; of a card the one it gives itself, not where it lies."""
    if not dataset.endswith(".toml"):
        return dataset
    try:
        return str(tomllib.loads(Path(dataset).read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError):  # reading the table will say what is wrong with it
        return Path(dataset).stem


def table_of(dataset: str) -> Table:
    """A data set or a slice of one by name, or a user's own by the path of its card; raises `UnknownName`."""
    if dataset.endswith(".toml"):
        return read_card(Path(dataset))
    if not slices.known(dataset):
        known = plugins.names("datasets")
        raise UnknownName(f"{unknown('data set', dataset, known)}, or the path of a card that ends in .toml")
    return slices.load(dataset)


def method_of(name: str) -> Method:
    """A method by name; raises `UnknownName`."""
    return plugins.load("methods", name)


def read_plan_file(path: Path) -> Plan:
    """A plan from a TOML file; cards are found relative to it. Raises `BadPlan` in one line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise BadPlan(f"{path}: cannot be read as UTF-8 text ({type(problem).__name__})") from problem
    try:
        given = tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # TOML's own error, a number too long, nested too deeply
        raise BadPlan(f"{path}: not TOML: {problem}") from problem
    plan = read_plan(given, str(path))
    home = path.absolute().parent  # a table is found again from any folder
    cards = [str(home / d) if d.endswith(".toml") else d for d in plan.datasets]
    own = plan.teacher and replace(plan.teacher, path=str(home / plan.teacher.path))
    return replace(plan, datasets=tuple(cards), teacher=own)


def read_plan(given: Mapping[str, Any], where: str) -> Plan:
    """A plan from plain values; ``where`` names their source in messages. Raises `BadPlan` or `UnknownName`."""
    for key in given:
        if key not in READERS:
            raise BadPlan(f'{where}: unknown key "{key}"; one of {", ".join(READERS)}{did_you_mean(key, READERS)}')
    if "datasets" not in given:
        raise BadPlan(
            f'{where}: "datasets" is missing; one of {", ".join(plugins.names("datasets"))}, or a card\'s path'
        )
    read = {key: _read(key, value, where) for key, value in given.items()}
    _check_size(read, where)
    for key in ("threshold", "approve", "hidden", "activation", "residual") if "teacher" in given else ():
        if key in given and read[key] != getattr(Setting(), key):
            raise BadPlan(f'{where}: "{key}" is of teachers that are trained here; "teacher" is a model of your own')
    if "threshold" in given and "approve" in given:
        raise BadPlan(f'{where}: "threshold" and "approve" both say where the cut is; one of them')
    if "kappa" in given and "margin" in given:
        raise BadPlan(f'{where}: "kappa" and "margin" both say how far a promise goes beyond the boundary; one of them')
    first, *further = _settings({k: v for k, v in read.items() if k in SETTING_KEYS})
    rest = {k: v for k, v in read.items() if k not in SETTING_KEYS}
    return Plan(setting=first, further=tuple(further), **rest)


def _check_size(read: Mapping[str, Any], where: str) -> None:
    """Raise `BadPlan` with an estimate where a plan asks for more runs than anybody can wait for or look at."""
    defaults = {f.name: f.default for f in fields(Plan)}
    number = {k: len(read.get(k, defaults.get(k))) for k in ("datasets", "methods", "bits", "seeds")}
    number |= {k: len(v) for k, v in read.items() if isinstance(v, _Listed)}
    runs = prod(number.values())
    if runs <= MOST_RUNS:
        return
    methods, settings = read.get("methods", defaults["methods"]), prod(number[k] for k in LISTABLE if k in number)
    paces = [estimate.pace_of(d) for d in read["datasets"]]
    took = sum(estimate.seconds(pace, methods, number["bits"], number["seeds"]) for pace in paces)
    times = " × ".join(f"{n:,} {k}" for k, n in number.items() if n > 1)
    raise BadPlan(
        f"{where}: {times} are {runs:,} quantized models, {estimate.format_time(took * settings)} on one core; "
        f"at most {MOST_RUNS:,} in one plan"
    )


def _settings(read: Mapping[str, Any]) -> list[Setting]:
    """One setting for every combination of the listed values, the last key's varying fastest."""
    each = [v if isinstance(v, _Listed) else [v] for v in read.values()]
    names = [_FIELD.get(k, k) for k in read]
    return [replace(Setting(), **dict(zip(names, values, strict=True))) for values in product(*each)]


class _Listed(tuple[Any, ...]):
    """Several values of one setting key."""


def _read(key: str, value: Any, where: str) -> Any:
    try:
        if key in LISTABLE and isinstance(value, list | tuple):
            if not value:
                raise _Refused(f'"{key}" is an empty list; at least one value')
            return _Listed(dict.fromkeys(READERS[key](v) for v in value))
        return READERS[key](value)
    except _Refused as problem:
        raise BadPlan(f"{where}: {problem}") from None
    except ValueError:  # Python refuses to print it
        raise BadPlan(f'{where}: "{key}" holds a number of thousands of digits; at most 4,300') from None
    except CfqError as problem:
        raise type(problem)(f"{where}: {problem}") from None


# ---------------------------------------------------------------------- one reader a key
class _Refused(ValueError):
    """A value that its key does not take."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise _Refused(f'"name" = {str(value)[:200]!r}; a text of at most 200 characters, no control character')
    return value


def _names(key: str, folder: str) -> Callable[[Any], tuple[str, ...]]:
    def read(value: Any) -> tuple[str, ...]:
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list | tuple) or not value or not all(isinstance(v, str) for v in value):
            raise _Refused(f'"{key}" = {value!r}; a list of names')
        if list(value) == ["all"] and folder == "methods":
            return plugins.names(folder)
        for name in value:
            built = folder == "datasets" and (name.endswith(".toml") or slices.known(name))
            if not built and name not in plugins.names(folder):
                also = ", or the path of a card that ends in .toml" if folder == "datasets" else ""
                raise UnknownName(unknown(plugins.FOLDERS[folder], name, plugins.names(folder)) + also)
        return tuple(dict.fromkeys(value))

    return read


def _bits(value: Any) -> tuple[float, ...]:
    value = list(value) if isinstance(value, list | tuple) else [value]
    low, high = min(WEIGHT_BITS), max(WEIGHT_BITS)
    for v in value:
        if isinstance(v, bool) or not isinstance(v, int | float) or not low <= v <= high:
            raise _Refused(f'"bits" holds {v!r}; average bits per weight from {low} to {high}')
    if not value:
        raise _Refused('"bits" is empty; at least one budget')
    return tuple(sorted({float(v) for v in value}))


def _seeds(value: Any) -> tuple[int, ...]:
    listed = list(range(value)) if _is_int(value, 1, MOST_SEEDS) else value
    if not isinstance(listed, list) or not listed or not all(_is_int(v, 0, 2**31 - 1) for v in listed):
        raise _Refused(f'"seeds" = {value!r}; a count from 1 to {MOST_SEEDS}, or a list of whole numbers from 0')
    return tuple(sorted(set(listed)))


def _residual(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Refused(f'"residual" = {value!r}; true or false')
    return value


def _activation(value: Any) -> str:
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise _Refused(unknown("activation", str(value), ACTIVATIONS))
    return value


def _activation_bits(value: Any) -> int:
    if not _is_int(value, min(ACTIVATION_BITS), max(ACTIVATION_BITS)) or value not in ACTIVATION_BITS:
        raise _Refused(f'"activation_bits" = {value!r}; one of {", ".join(map(str, ACTIVATION_BITS))}')
    return value


def _hidden(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) > MOST_LAYERS or not all(_is_int(v, 1, WIDEST) for v in value):
        raise _Refused(
            f'"hidden" = {value!r}; at most {MOST_LAYERS} layer widths from 1 to {WIDEST}, e.g. [64, 64, 32]'
        )
    return tuple(value)


def _kappa(value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 100:  # NaN compares false
        raise _Refused(f'"kappa" = {value!r}; logits from 0 to 100')
    return float(value)


def _people(value: Any) -> int | None:
    if value == "all":
        return None
    if not _is_int(value, 1, 10**9):
        raise _Refused(f'"people" = {value!r}; a number from 1, or "all"')
    return value


def _threshold(value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < 1:
        raise _Refused(
            f'"threshold" = {value!r}; a probability between 0 and 1 (of a model of your own: see "teacher")'
        )
    return float(value)


def _approve(value: Any) -> float:
    text = value.strip() if isinstance(value, str) else ""
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else float("nan")
    except ValueError:
        share = float("nan")
    if not 0 < share < 1:
        raise _Refused(f'"approve" = {value!r}; the share of training people to approve, such as "30%"')
    return share


def _margin(value: Any) -> float:
    what, _, share = value.strip().partition(":") if isinstance(value, str) else ("", "", "")
    try:
        number = float(share.strip().removesuffix("%")) / 100 if share.strip().endswith("%") else float("nan")
    except ValueError:
        number = float("nan")
    if what != "cost" or not 0 < number <= 10:
        raise _Refused(f'"margin" = {value!r}; "cost:10%", the share by which it raises the mean cost of recourse')
    return number


def _regime(value: Any) -> str:
    if not isinstance(value, str) or value not in REGIMES:
        raise _Refused(unknown("action regime", value, REGIMES))
    return value


def _solver(value: Any) -> Any:
    if not isinstance(value, str):
        raise _Refused(f'"recourse" = {value!r}; one of {", ".join(plugins.names("recourse"))}')
    try:
        return solver_named(value)
    except ValueError as problem:
        raise _Refused(f'"recourse" = {value!r}; {problem}') from None


def _teacher(value: Any) -> TeacherFile:
    given = {"path": value} if isinstance(value, str) else value
    if not isinstance(given, dict) or not isinstance(given.get("path"), str) or not given["path"]:
        raise _Refused(f'"teacher" = {value!r}; the path of an ONNX file, or a table with its path')
    from cfq_core.models.contract import Contract

    said = Contract.read({k: v for k, v in given.items() if k != "path"}, '"teacher"')
    return TeacherFile(given["path"], said.favourable, said.threshold, said.output, said.layout)


def _is_int(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


#: Keys of a plan that belong to its setting; the rest are the plan's own.
SETTING_KEYS = (
    "hidden", "kappa", "people", "regime", "recourse", "activation", "residual", "activation_bits", "threshold",
    "approve", "margin",
)  # fmt: skip
_FIELD = {"recourse": "solver"}

#: Keys that take a list too: the study then runs under every combination of their values.
LISTABLE = ("kappa", "regime", "recourse", "activation_bits")

READERS: dict[str, Callable[[Any], Any]] = {
    "name": _text,
    "datasets": _names("datasets", "datasets"),
    "methods": _names("methods", "methods"),
    "bits": _bits,
    "seeds": _seeds,
    "probes": _names("probes", "probes"),
    "hidden": _hidden,
    "kappa": _kappa,
    "people": _people,
    "regime": _regime,
    "recourse": _solver,
    "activation": _activation,
    "residual": _residual,
    "activation_bits": _activation_bits,
    "threshold": _threshold,
    "approve": _approve,
    "margin": _margin,
    "teacher": _teacher,
}
