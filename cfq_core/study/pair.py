"""What is stored of an audit of two files beside what a study has: read without torch or onnx."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cfq_core.base.errors import BadInput, BadStore
from cfq_core.study.arrays import Arrays

METHOD = "file"  # the code of a student that was not made here
KEPT_FILE = "file"  # artifact of a teacher or run that is no list of layers: see `models.rerun`
TOLD = "told"  # artifact of its run: what each person was told, and in which ways to run the files it holds
#: What of `cfq audit --json` stands in the plan; measures, groups and people are the run's.
PAIR = ("verdict", "teacher", "student", "kappa", "rows", "denied", "people", "answers", "notes", "runtime", "as_run")


def made_here(run: Mapping[str, Any] | Any) -> None:
    """Raise `BadInput` for a run whose student was a file: it is judged on rows, and made of inputs, of its own."""
    if run["method"] == METHOD:
        raise BadInput(
            f"run {run['id']} is of an audit of files: its models are those files, so nothing is made of it anew; "
            "cfq audit and cfq verify read files"
        )


def packed(told: list[dict[str, Any]]) -> Arrays:
    """What people were told as an artifact."""
    text = json.dumps(told, allow_nan=False, separators=(",", ":"))
    return {"json": np.frombuffer(zlib.compress(text.encode()), np.uint8)}


def unpacked(arrays: Arrays) -> list[dict[str, Any]]:
    """Back again; raises `BadStore`."""
    try:
        found = json.loads(zlib.decompress(arrays["json"].tobytes()))
        return [dict(one) for one in found]
    except (LookupError, ValueError, TypeError, zlib.error) as problem:
        raise BadStore(f"what people were told cannot be read ({type(problem).__name__})") from None


def pair_of(plan: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a study's plan holds of an audit of two files; None of any other study."""
    found = plan.get("pair")
    return found if isinstance(found, Mapping) else None
