"""The one door to background studies, audits of two files, and uploaded tables."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import time
import tomllib
from collections.abc import Callable
from typing import Any

import streamlit as st

from cfq_core.base import logbook, plugins
from cfq_core.base.errors import BadInput
from cfq_core.base.identity import identity
from cfq_core.base.shipped import shipped
from cfq_core.datasets import upload
from cfq_core.datasets.fetch import FILES, on_disk
from cfq_core.export import pairs
from cfq_core.models import kept
from cfq_core.report import fmt
from cfq_core.study import estimate, jobs
from dashboard.lib import data, workspace


def recent() -> list[jobs.Job]:
    """The newest background studies of the user's store."""
    return jobs.recent(data.own_store(), most=8)


def start(given: dict[str, Any]) -> jobs.Job:
    """Start a study; one that runs already is given back. Raises `CfqError`."""
    _only_own(given["datasets"])
    files = logbook.sha256_of([*given["datasets"], *([given["teacher"]["path"]] if "teacher" in given else [])])
    workspace.record(logbook.STUDY, {"plan": identity(given), "on": ", ".join(given["datasets"])}, files)
    return jobs.submit(data.own_store(), given)


def stop(id: str) -> None:
    """End a background study."""
    jobs.cancel(jobs.find(data.own_store(), id))


def audit(dataset: str, teacher: pairs.Upload, student: pairs.Upload, question: dict[str, Any]) -> str | None:
    """Audit two files in the background, or give the id of the study that says it already; raises `BadInput`."""
    _only_own([dataset])
    given = pairs.asked(dataset, teacher, student, question)
    files = {given[role]["name"]: given[role]["sha256"] for role in (pairs.TEACHER, pairs.STUDENT)}
    workspace.record(logbook.AUDIT, {"study": pairs.study_id(given)}, files | logbook.sha256_of([dataset]))
    if (found := pairs.known(data.own_store(), given)) is None:
        pairs.submit(data.own_store(), given, teacher, student)
    return found


def _only_own(tables: list[str]) -> None:
    """In a workspace a path that a browser made up opens nobody else's table."""
    if workspace.is_on() and any(t.endswith(".toml") and t not in datasets() for t in tables):
        raise BadInput("this table is not in your workspace")


def exported(content: Callable[[], bytes], **ids: str) -> Callable[[], bytes]:
    """A download whose making is written to the log. The click is answered outside of the session."""
    log = workspace.recorder()

    def made() -> bytes:
        found = content()
        log(logbook.EXPORT, ids, {"content": hashlib.sha256(found).hexdigest()})
        return found

    return made


def can_audit() -> bool:
    """Whether what reads and runs model files is installed."""
    return all(importlib.util.find_spec(m) is not None for m in ("onnx", "onnxruntime"))


def datasets() -> dict[str, str]:
    """What can be studied: name or card path -> words. Uploaded tables first."""
    own = {str(t.path.resolve()): _uploaded(t) for t in upload.kept(data.own_store())}
    return own | {name: f"{name}: {_where(name)}" for name in plugins.names("datasets")}


def _uploaded(table: upload.KeptTable) -> str:
    """Two tables of one name are told apart by when they came, and by their rows."""
    rows = f"{table.rows:,} rows, " if table.rows is not None else ""
    return f"{table.name}: {rows}uploaded {time.strftime('%d %b %H:%M:%S', time.localtime(table.at))}"


def about(path: str) -> upload.KeptTable | None:
    """What is known of an uploaded table; None of any other."""
    return next((t for t in upload.kept(data.own_store()) if str(t.path.resolve()) == path), None)


@st.cache_data(show_spinner="Asking a quick model for one example of advice", max_entries=32)
def example(path: str) -> list[str]:
    """What a first model would tell somebody of an uploaded table, in words."""
    from cfq_core.report.example import example as found  # torch

    return found(path)


def _where(name: str) -> str:
    if name not in FILES:
        return "embedded"
    return "on disk" if all(on_disk(f) for f in FILES[name]) else "will be downloaded"


@st.cache_data(show_spinner=False)
def methods() -> dict[str, str]:
    """Every method and what it is, in a line."""
    return {name: plugins.summary("methods", name) for name in plugins.names("methods")}


def how_long(given: dict[str, Any]) -> str:
    """About how long a study takes."""
    table = about(given["datasets"][0])
    pace = estimate.pace_of(given["datasets"][0], table.rows if table else None)
    return estimate.format_time(estimate.seconds(pace, given["methods"], len(given["bits"]), given["seeds"]))


def shipped_plan(name: str) -> dict[str, Any]:
    """A plan that comes with the project, as plain values."""
    return tomllib.loads((shipped("studies") / f"{name}.toml").read_text(encoding="utf-8"))


def about_plan(given: dict[str, Any]) -> str:
    """What a plan runs and how long it takes, in words."""
    settings = math.prod(len(given[k]) for k in ("kappa", "regime", "recourse") if isinstance(given.get(k), list))
    seeds = given["seeds"] if isinstance(given["seeds"], int) else len(given["seeds"])
    budgets, paces = len(given["bits"]), [estimate.pace_of(d) for d in given["datasets"]]
    took = settings * sum(estimate.seconds(p, given["methods"], budgets, seeds) for p in paces)
    took += estimate.probing(given.get("probes", ()), settings * len(paces) * seeds)
    runs = settings * len(paces) * seeds * budgets * len(given["methods"])
    tables = fmt.listed(list(given["datasets"]))
    return f"{tables}, {fmt.counted(runs, 'quantized model')}, {estimate.format_time(took)} on a free core"


def keep(card: str, content: bytes, csv_name: str) -> str:
    """Check an uploaded table and keep it; gives its card's path. Raises `BadCard`."""
    path = upload.keep(data.own_store(), card, content, csv_name).resolve()
    workspace.record(logbook.UPLOAD, {"table": path.parent.name}, logbook.sha256_of([path]))
    return str(path)


def keep_model(name: str, content: bytes) -> str:
    """Check an uploaded model and keep it; gives its path. Raises `BadInput`."""
    path = kept.keep(data.own_store(), name, content).resolve()
    if st.session_state.get("_logged_model") != str(path):  # a page asks again each time it is drawn
        workspace.record(logbook.UPLOAD, files=logbook.sha256_of([path]))
        st.session_state["_logged_model"] = str(path)
    return str(path)
