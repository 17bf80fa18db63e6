"""What an audited file that is no list of layers decides about anybody: it is asked again, in a process with limits.

An audit keeps such a file with what was found of it (`models.rerun`), so that no path is read and nothing is parsed in
this process. Nothing heavy is imported before a file is asked.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from cfq_core.base.errors import BadInput
from cfq_core.report.frames import Stored
from cfq_core.study.pair import KEPT_FILE, pair_of
from cfq_core.tables.encode import Values
from cfq_core.tables.schema import Schema

if TYPE_CHECKING:
    from cfq_core.models.rerun import Awake, Rerun


@cache
def _awake() -> Awake:
    """One for a server, from the first question on."""
    from cfq_core.models.rerun import Awake

    return Awake()


@lru_cache(maxsize=1024)
def has_layers(study: Stored, owner: str) -> bool:
    """Whether a stored teacher or run is a list of layers: a page asks on every move of a slider."""
    return bool(study.arrays(owner, "weights"))


def not_kept(study: Stored, owner: str) -> str:
    """Why the file of a teacher or run cannot be asked, and what to do; empty where it can, or is a list of layers."""
    if has_layers(study, owner):
        return ""
    with study.store() as store:
        if store.has_artifact(owner, KEPT_FILE):
            return ""
    role = "student" if owner in set(study.runs.run) else "teacher"
    name = (pair_of(study.row["plan"]) or {}).get(role, {}).get("file", role)
    return (
        f"{name}: this audit does not hold the file (an older version kept none), or it was changed. Audit the two "
        "files again, on the page Study or with cfq audit --store, to see what they decide about other values."
    )


def logits(study: Stored, owner: str, schema: Schema, values: Values) -> Float[np.ndarray, "n"]:
    """Of people of the audited table, as the audit had them; raises `CfqError` in one line."""
    from cfq_core.models.rerun import Rerun
    from cfq_core.models.sandbox import sandboxed_parse

    def load() -> Rerun:
        if why := not_kept(study, owner):
            raise BadInput(why)
        file = Rerun.stored(study.arrays(owner, KEPT_FILE), schema)
        sandboxed_parse(file.content, file.name)  # a store may come from anybody
        return file

    return _awake().logits((study.folder, owner), load, values)


def close() -> None:
    """End the processes of all files."""
    _awake().close()
