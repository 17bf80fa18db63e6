"""A stored study as an object: its numbers as DataFrames, its pictures as altair charts, its people, its answers."""

from __future__ import annotations

import inspect
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cfq_core.api import filed, shown
from cfq_core.api.person import Person, person_of
from cfq_core.base.door import one_of, path_of
from cfq_core.base.errors import BadInput, UnknownName, unknown
from cfq_core.report import files, fmt, html, picture
from cfq_core.report.figures import Chosen, chosen
from cfq_core.report.frames import Stored
from cfq_core.study import summary
from cfq_core.study.safe import AT_MOST, CONFIDENCE
from cfq_core.study.store import Store

#: Measures of `Study.summary`, each with its interval over seeds.
SUMMARY = ("accuracy", "approval_shift", "vd", "vd_matched", "approval_shift_matched", "crg_mean", "crg_median", "frr")


@dataclass(frozen=True)
class Study:
    """One study of one store. Made by `cfq_core.study` or `cfq_core.api.studies.open_study`."""

    stored: Stored  # the frames behind every picture

    # ------------------------------------------------------------------ what it is
    @property
    def id(self) -> str:
        """Its id in the store."""
        return self.stored.id

    @property
    def store(self) -> Path:
        """The folder it is kept in."""
        return Path(self.stored.folder)

    @property
    def name(self) -> str:
        """Its name, or what it is about."""
        return str(self.stored.row["name"])

    @property
    def datasets(self) -> list[str]:
        """Names of its tables."""
        return list(dict.fromkeys(self.runs.dataset))

    @property
    def methods(self) -> list[str]:
        """Names of its methods."""
        return list(dict.fromkeys(self.runs.method))

    # ------------------------------------------------------------------ numbers
    @property
    def runs(self) -> pd.DataFrame:
        """One row a run: run, teacher, dataset, method, budget, seed, avg_bits, threshold, bits (a tuple a layer)."""
        return self.stored.runs.copy()

    @property
    def teachers(self) -> pd.DataFrame:
        """One row a teacher, with what was measured of it."""
        return self.stored.teachers.copy()

    @property
    def measures(self) -> pd.DataFrame:
        """One row a (run, measure): its value with the interval over this run's people."""
        return self.stored.measures.copy()

    @property
    def groups(self) -> pd.DataFrame:
        """One row a (run, group, measure); no value where a group has under 30 people."""
        return self.stored.groups.copy()

    @property
    def people(self) -> pd.DataFrame:
        """One row a (run, denied person): what they were told, and what became of it on the student.

        Columns: dataset, method, budget, seed, run, and those of `cfq_core.report.frames.PEOPLE`.
        """
        about = ("dataset", "method", "budget", "seed", "run")
        each = []
        for r in self.stored.runs.itertuples():
            frame = self.stored.people(str(r.run))
            each.append(pd.concat([pd.DataFrame({k: getattr(r, k) for k in about}, frame.index), frame], axis=1))
        return pd.concat(each, ignore_index=True) if each else pd.DataFrame(columns=list(about))

    def summary(self) -> pd.DataFrame:
        """One row a (data set, setting, method, budget): means over seeds with Student's 95 % interval of each.

        Columns of a measure: its name (the mean), and ``NAME_low``, ``NAME_high``, which are empty for a single seed.
        ``lenient``: its validity was bought by approving more people, or by asking them for less.
        """
        lines, keys = self.stored.across, ["dataset", *self.stored.varied, "method", "budget"]
        out = []
        for cell, rows in lines.groupby(keys, sort=False):
            of, first = rows.set_index("measure"), rows.iloc[0]
            row = dict(zip(keys, cell, strict=True)) | {"avg_bits": first.avg_bits}
            for name in (m for m in SUMMARY if m in of.index):
                m = of.loc[name]
                row |= {name: m["mean"], f"{name}_low": m.seed_low, f"{name}_high": m.seed_high}
            people = of.people.get("vd", 0)
            out.append(row | {"lenient": bool(first.lenient), "seeds": int(first.seeds), "people": int(people)})
        return pd.DataFrame(out)

    def safe(self, at_most: float = AT_MOST, confidence: float = CONFIDENCE, matched: bool = False) -> pd.DataFrame:
        """How few bits are safe: of each method the least budget that breaks at most a share of promises.

        Args:
            at_most: the share of promises that may break, between 0 and 1.
            confidence: with which each method's answer holds.
            matched: judged with thresholds at the teachers' approval rate.

        Returns:
            One row a method: ``budget`` (NaN: none is shown to be safe), ``broken`` seen there and its upper ``bound``.
        """
        out = []
        for dataset in self.datasets:
            for a in self.stored.safe(dataset, at_most, confidence, matched):
                t = a.answer or a.tried[0]
                least = a.answer.budget if a.answer else float("nan")
                row = {"dataset": a.dataset, **a.setting, "method": a.method, "budget": least, "broken": t.rate}
                row |= {"bound": t.bound, "approval_shift": t.approval_shift, "lenient": t.lenient}
                out.append(row | {"seeds": t.seeds, "people": t.people, "claim": a.claim})
        return pd.DataFrame(out)

    def verdicts(self) -> list[str]:
        """The answer of each method and budget, in a sentence."""
        with self.stored.store() as store:
            lines = summary.lines(store, self.id)
        return [summary.verdict(line, self.stored.setting) for line in lines]

    # ------------------------------------------------------------------ pictures, people, files
    @property
    def pictures(self) -> list[str]:
        """Names that `plot` takes."""
        return list(picture.names())

    def plot(
        self,
        name: str = "curves",
        *,
        dataset: str | None = None,
        method: str | None = None,
        budget: float | None = None,
        seed: int | None = None,
        matched: bool = False,
        **options: Any,
    ) -> Any:
        """A picture of the report and the dashboard, as an altair chart.

        Args:
            name: one of `pictures`.
            dataset: which table; None: the first.
            method: which student, where a picture is about one; None: ptq, or the first.
            budget: its bits; None: the nearest to 4.
            seed: its seed; None: the first.
            matched: with thresholds at the teachers' approval rate.
            options: a picture's own, such as ``measure="crg_mean"``; a wrong one is told with those there are.
        """
        if name not in picture.names():
            raise UnknownName(unknown("picture", name, picture.names()))
        of = self._chosen(dataset, method, budget, seed, matched)
        takes = list(inspect.signature(picture.load(name).rows).parameters.values())[1:]
        for option in options:
            if option not in [p.name for p in takes]:
                raise BadInput(f"plot: {unknown(f'{name} has no option', option, [p.name for p in takes])}")
        given = {**of.options, **options}
        lacking = [p.name for p in takes if p.name not in given and p.default is p.empty]
        if lacking:
            raise BadInput(f"plot: {name} needs {' and '.join(lacking)}, such as {lacking[0]}=...")
        drawn = picture.draw(name, self.stored, **{p.name: given[p.name] for p in takes if p.name in given})
        if drawn.chart is None:
            raise BadInput(f"plot: this study holds no rows for the picture {name}")
        return drawn.chart.properties(title=drawn.title)

    def person(
        self,
        person: int,
        *,
        dataset: str | None = None,
        seed: int | None = None,
    ) -> Person:
        """One denied person: who they are, what they were told, and on which students it holds.

        Args:
            person: position among the test rows, as in `people`.
            dataset: which table; None: the first.
            seed: of the teacher; None: the first.
        """
        return person_of(self.stored, self._chosen(dataset, None, None, seed, False), person)

    def report(self, path: str | Path) -> Path:
        """Write one HTML file to send or print: verdicts, pictures with their tables, groups, versions, limits."""
        out = path_of(path, "report", "path")
        files.write_whole(out, html.page(self.stored).encode())
        return out

    def export(
        self,
        path: str | Path,
        *,
        dataset: str | None = None,
        method: str | None = None,
        budget: float | None = None,
        seed: int | None = None,
        teacher: str | Path | None = None,
    ) -> list[str]:
        """Write a student as ONNX, and its teacher beside it where a path is given; proved on onnxruntime.

        Returns:
            What the runtime said of each file, in a sentence. Needs ``pip install 'cfq[export]'``.
        """
        from cfq_core.export.stored import export_student, export_teacher, stored_run  # needs onnx, which is an extra

        run = self._chosen(dataset, method, budget, seed, False).run
        with closing(Store.for_reading(self.store)) as store:
            found = stored_run(store, run)
        written = [export_student(found, path_of(path, "export", "path"))]
        written += [export_teacher(found, path_of(teacher, "export", "teacher"))] if teacher else []
        return [w.words for w in written]

    def papers(
        self,
        folder: str | Path,
        *,
        dataset: str | None = None,
        method: str | None = None,
        budget: float | None = None,
        seed: int | None = None,
        owner: str = "",
        purpose: str = "",
        tier: str = "",
        expires: str = "",
    ) -> Path:
        """Write what is filed of a student: reasons per denied person, inventory, challengers, impact, expiry.

        Args:
            folder: for the files of `cfq papers`; made where it is not there.
            dataset: which table; None: the first.
            method: which student; None: ptq, or the first.
            budget: its bits; None: the nearest to 4.
            seed: its seed; None: the first.
            owner: who answers for it. This and the next three are shown as not stated where left out.
            purpose: what it is used for.
            tier: its tier of risk, in your own words.
            expires: day on which the papers expire, such as 2030-12-31.
        """
        from cfq_core.report import papers_files

        said = {"owner": owner, "purpose": purpose, "tier": tier, "expires": expires}
        filed.checked(said)
        out, run = path_of(folder, "papers", "folder"), self._chosen(dataset, method, budget, seed, False).run
        with closing(Store.for_reading(self.store)) as store:
            found = filed.papers_of(store, run, said, None, filed.shipped)
        papers_files.write(out, papers_files.files(found))
        return out

    def _chosen(
        self, dataset: str | None, method: str | None, budget: float | None, seed: int | None, matched: bool
    ) -> Chosen:
        """The student that is asked for; what there is none of is refused, never replaced."""
        runs = self.stored.runs
        if runs.empty:
            raise BadInput(f"study {self.id}: none of its runs is finished")
        asked = {"dataset": dataset or self.datasets[0], "method": method, "budget": budget, "seed": seed}
        for column, value in asked.items():
            if value is not None:
                one_of(value, dict.fromkeys(runs[column].tolist()), "study", column)
                runs = runs[runs[column] == value]
        if runs.empty:
            raise BadInput(f"study {self.id}: no run of {', '.join(f'{k} {v}' for k, v in asked.items() if v)}")
        first = -1 if seed is None else seed
        return chosen(self.stored, str(asked["dataset"]), method or "", budget or 0.0, first, matched)

    # ------------------------------------------------------------------ in a notebook
    def __repr__(self) -> str:
        row = self.stored.row
        about = f"Study {self.id}: {self.name} ({row['finished']} of {row['runs']} runs, store {self.store})"
        return "\n".join([about, *self.verdicts()])

    def _repr_html_(self) -> str:
        row, frame = self.stored.row, self.summary()
        head = shown.heading(f"{self.name} (study {self.id}, {row['finished']} of {row['runs']} runs)")
        if frame.empty:
            return shown.block(head, shown.line("No run is finished."))
        kept = [c for c in frame if not c.endswith(("_low", "_high")) or c.startswith("vd")]
        note = f"Means over seeds; vd is the share of promised actions that fail ({fmt.interval(self.stored.lines)})."
        return shown.block(head, shown.table(frame[kept]), shown.line(note), shown.listed("", self.verdicts()))
