"""The papers of a stored run as files (`cfq papers`, `Study.papers`): its file is exported, and decides the reasons."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfq_core.base.errors import BadInput, CfqError

if TYPE_CHECKING:
    from cfq_core.report.frames import Stored
    from cfq_core.report.papers import Papers, Shipped
    from cfq_core.study.store import Store

MODEL = "model.onnx"
LONGEST = 400  # characters of what somebody says

Ship = Callable[["Store", str, "Path | None"], "Shipped | None"]


def checked(said: Mapping[str, str], prefix: str = "") -> None:
    """Refuse what no paper should carry: text that is no text, a day that is none or has passed."""
    for name, text in said.items():
        if not isinstance(text, str) or len(text) > LONGEST or not text.isprintable():
            raise BadInput(f"{prefix}{name}: at most {LONGEST} characters on one line")
    expires = said["expires"]
    if not expires:
        return
    try:
        day = date.fromisoformat(expires)
    except ValueError:
        raise BadInput(f'{prefix}expires "{expires}": a day such as 2030-12-31') from None
    if day.isoformat() != expires:
        raise BadInput(f'{prefix}expires "{expires}": a day such as 2030-12-31')
    if day < date.today():
        raise BadInput(f"{prefix}expires {expires}: has passed")


def papers_of(store: Store, run: str, said: Mapping[str, str], card: Path | None, ship: Ship) -> Papers:
    """All papers of a run as of today; ``ship``: what gives its exported file."""
    from cfq_core.report import papers as engine

    about = engine.Said(**said, made=date.today().isoformat())
    return engine.papers(store, engine.stored(store, run, card), about, ship(store, run, card))


def shipped(store: Store, run: str, card: Path | None = None) -> Shipped | None:
    """The run's exported file at every level at which onnxruntime may run it; None where the extra is missing."""
    if any(importlib.util.find_spec(m) is None for m in ("onnx", "onnxruntime")):
        return None
    from cfq_core.export.parity import LEVELS, computed
    from cfq_core.export.stored import export_student, stored_run
    from cfq_core.models.verify import runtime
    from cfq_core.report.papers import Shipped

    found = stored_run(store, run, card)
    with tempfile.TemporaryDirectory() as held:
        export_student(found, Path(held) / MODEL)
        content = (Path(held) / MODEL).read_bytes()
    encode = found.design.encoding.encode

    def judge(level: str) -> Callable[[Any], Any]:
        run_file = computed(content, level)
        return lambda values: run_file(encode(values))

    told = f"{runtime()['runtime']} at optimisation {', '.join(LEVELS)}"
    return Shipped(MODEL, content, tuple(judge(level) for level in LEVELS), told)


def zipped(view: Stored, run: str) -> bytes:
    """The papers of a run as one zip, nothing stated; where they cannot be made, a text that says why."""
    from cfq_core.report import papers_files
    from cfq_core.report.files import packed

    said = dict.fromkeys(("owner", "purpose", "tier", "expires"), "")
    with view.store() as store:
        try:
            return packed(papers_files.files(papers_of(store, run, said, None, shipped)))
        except CfqError as problem:
            return packed({"why-there-are-none.txt": f"{problem.line()}\n".encode()})
