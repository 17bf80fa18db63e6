"""`cfq.audit_models(...)`: does the one model keep what the other promises? As frames and one page."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cfq_core.api import shown
from cfq_core.api.tables import read_card
from cfq_core.base import cells
from cfq_core.base.door import path_of
from cfq_core.base.errors import BadInput
from cfq_core.export import audit_text, pairs, people
from cfq_core.report import html
from cfq_core.report.files import write_whole
from cfq_core.report.frames import Stored
from cfq_core.report.pair import frame
from cfq_core.tables.schema import Table

if TYPE_CHECKING:
    from cfq_core.export.audit import PairAudit, Rows
    from cfq_core.models.columns import Layout
    from cfq_core.models.contract import Output
    from cfq_core.models.read import ModelFile

INTERVAL = ("value", "low", "high", "count")


@dataclass(frozen=True)
class ModelAudit:
    """What one model promises, and whether the other keeps it."""

    pair: PairAudit
    dataset: str = ""  # the card's path, where it has one: a report shows its words

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        return audit_text.verdict(self.pair)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the files were taken for, and what a reader must know of it."""
        return self.pair.notes

    @property
    def measures(self) -> pd.DataFrame:
        """One row a measure: its value with the interval over these people of this one student."""
        titles = {name: title for title, name, _ in audit_text.LINES}
        rows = [
            {"measure": name, "title": titles.get(name, ""), **{k: getattr(m, k) for k in INTERVAL}}
            for name, m in self.pair.seen.measures.overall.items()
        ]
        return pd.DataFrame(rows).astype(dict.fromkeys(INTERVAL[:3], float))

    @property
    def groups(self) -> pd.DataFrame:
        """One row a (group, measure); no value where a group has under 30 people."""
        rows = [
            {"column": column, "level": level, "measure": name, **{k: getattr(m, k) for k in INTERVAL}}
            for column, levels in self.pair.seen.measures.groups.items()
            for level, measured in levels.items()
            for name, m in measured.items()
        ]
        return pd.DataFrame(rows, columns=["column", "level", "measure", *INTERVAL])

    @property
    def people(self) -> pd.DataFrame:
        """One row a person who was refused: what they were told, its cost, and where it holds."""
        return frame(people.results(self.pair))

    def as_dict(self) -> dict[str, Any]:
        """What `cfq audit --json` prints."""
        return audit_text.as_json(self.pair)

    def report(self, path: str | Path) -> Path:
        """Write it as one HTML page; with a path that ends in .csv, the table of people."""
        out = path_of(path, "report", "path")
        content = cells.csv(self.people) if out.suffix == ".csv" else report_of(self.pair, self.dataset).encode()
        write_whole(out, content)
        return out

    def __repr__(self) -> str:
        return self.verdict

    def _repr_html_(self) -> str:
        p = self.pair
        rows = self.measures[self.measures.title != ""].drop(columns="measure")
        head = shown.heading(f"{p.student.file} against {p.teacher.file} on {p.schema.title}")
        return shown.block(head, shown.line(self.verdict), shown.table(rows), shown.listed("Notes", self.notes))


def report_of(pair: PairAudit, dataset: str) -> str:
    """The report on an audit: one HTML file, as of any study. ``dataset``: a name, or the path of a card."""
    with tempfile.TemporaryDirectory(prefix="cfq-audit-") as folder:
        return html.page(Stored(folder, pairs.keep_of(Path(folder), dataset, pair), 1))


def audit_models(
    card: Any,
    teacher: Any,
    student: Any,
    data: Any = None,
    *,
    rows: Rows | None = None,
    kappa: float | None = None,
    people: int | str = 2000,
    regime: str = "default",
    favourable: str = "",
    threshold: float | None = None,
    output: Output = "auto",
    layout: Layout = "auto",
    student_favourable: str = "",
    student_threshold: float | None = None,
    student_output: Output = "auto",
    student_layout: Layout = "auto",
) -> ModelAudit:
    """Audit any pair of models on a table: does the student keep what the teacher promises?

    Args:
        card: what the table means: the path of a card, a dict with its keys, a draft, or a `Table`.
        teacher: the model that promises: the path of an ONNX file, its bytes, or a torch module.
        student: the model that is deployed, as ``teacher``.
        data: the table, where it is not the file that the card names: a DataFrame, or a path.
        rows: whom to judge, "test" or "all"; None: the files' own test rows where they name this table, else all.
        kappa: the promise's margin in logits; None: the files', else 0.2.
        people: refused people who ask, or "all".
        regime: who may change what: any, immutable, default or strict.
        favourable: which side of the output is good: high, low, or a class's label; found where it is not said.
        threshold: the cut, in the output's own units.
        output: what it gives: logit, probability or score.
        layout: how its inputs are made: standardised, raw, levels or named.
        student_favourable: of the student, where it differs; so the next three.
        student_threshold: of the student.
        student_output: of the student.
        student_layout: of the student.

    Raises:
        BadInput: in one line; `BadModel` where a file cannot be read, or decides nothing. Needs the extra ``export``.
    """
    try:
        from cfq_core.export.audit import AuditOptions, audit_pair
    except ImportError as problem:
        raise BadInput(f"the export extra is not installed ({problem.name}): pip install 'cfq[export]'") from None

    table = card if isinstance(card, Table) else read_card(card, data)
    number = None if people == "all" else people
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise BadInput(f'audit_models: people is {number!r}; a whole number from 1, or "all"')
    if rows not in (None, "test", "all"):
        raise BadInput(f'audit_models: rows is {rows!r}; "test", "all", or None')
    question = AuditOptions(
        kappa, regime, number, favourable=favourable, threshold=threshold, output=output, layout=layout, rows=rows,
        student_favourable=student_favourable, student_threshold=student_threshold, student_output=student_output,
        student_layout=student_layout,
    )  # fmt: skip
    files = [_file(model, role) for model, role in ((teacher, "teacher"), (student, "student"))]
    path = str(Path(card).absolute()) if isinstance(card, str | Path) and data is None else table.schema.name
    return ModelAudit(audit_pair(table, files[0], files[1], question), path)


def _file(model: Any, role: str) -> ModelFile:
    """A model as a file that is read as untrusted."""
    from cfq_core.models.read import parse_model, read_model

    if isinstance(model, str | Path):
        return read_model(path_of(model, "audit_models", role))
    if isinstance(model, bytes):
        return parse_model(model, role)
    if hasattr(model, "state_dict"):
        from cfq_core.models.objects import exported

        return exported(model)
    what = "a dict" if isinstance(model, Mapping) else f"a {type(model).__name__}"
    cure = "write it with skl2onnx, or give it to cfq_core.study(..., teacher=model)"
    raise BadInput(
        f"audit_models: {role} is {what}; the path of an ONNX file, its bytes or a torch module is needed"
        + (f": {cure}" if hasattr(model, "predict") else "")
    )
