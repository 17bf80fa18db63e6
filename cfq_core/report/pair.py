"""An audit of two files beside the numbers of any study: what was taken for what, how it runs, who was told what."""

from __future__ import annotations

import html
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cfq_core.report.frames import Stored
from cfq_core.study.pair import TOLD, pair_of, unpacked

MOST_PEOPLE = 60  # in a printed report; all of them stand in the CSV
ROLES = ("teacher", "student")


def told(study: Stored, run: str) -> list[dict[str, Any]]:
    """What each person was told and in which ways to run the files it holds; empty of a student that was made here."""
    arrays = study.arrays(run, TOLD)
    return unpacked(arrays) if arrays else []


def frame(found: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The same as a table, one row a person."""
    flat = []
    for r in found:
        one = {k: v for k, v in r.items() if not isinstance(v, dict | list)}
        one |= {k: "; ".join(r[k]) for k in ("told", "refused_when", "teacher_refuses_when")}
        one |= {f"{of}_{at}": r[of][at] for of in ROLES for at in ("before", "after")}
        one |= {f"{side} {name}": cell for side in ("before", "after") for name, cell in r[side].items()}
        flat.append(one)
    return pd.DataFrame(flat)


def shown(found: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The columns of it that a reader looks at."""
    holds = {True: "yes", False: "no", None: ""}
    rows = [
        (r["row"], "; ".join(r["told"]) or r["answer"], r["cost"], r["teacher"]["after"], r["student"]["after"],
         holds[r["holds"]], "; ".join(r["refused_when"]), "yes" if r["tie"] else "")
        for r in found
    ]  # fmt: skip
    names = ("row", "told", "cost", "teacher's logit then", "student's logit then", "holds", "refused with", "on a tie")
    return pd.DataFrame(rows, columns=list(names))


def ways(study: Stored, run: str, person: int) -> list[str]:
    """In which ways to run the file somebody is refused to whom its promise holds, and whether a tie decides."""
    position = list(study.people(run).person) if (found := told(study, run)) else []
    if person not in position:
        return []
    one = found[position.index(person)]
    but = one["holds"] and one["refused_when"]
    refused = [f"Refused where the file is run with: {', '.join(one['refused_when'])}."] if but else []
    return refused + (["A rounding tie decides: another runtime may round it the other way."] if one["tie"] else [])


def lines(plan: Mapping[str, Any]) -> list[str]:
    """What both files were taken for, what a reader must know of it, and how they run: a sentence each."""
    found = pair_of(plan)
    if found is None:
        return []
    return [*(side(role, found[role]) for role in ROLES), *map(str, found["notes"]), *map(str, found["as_run"])]


def side(role: str, of: Mapping[str, Any]) -> str:
    """One of the files."""
    return (
        f"{role} {of['file']}: {of['how']}; {of['differing']} of {of['checked']:,} decisions differ from "
        f"onnxruntime's; right about {100 * of['accuracy']:.1f} % of outcomes, approves "
        f"{100 * of['approval_rate']:.1f} %; sha256 {of['sha256']}"
    )


def command(plan: Mapping[str, Any]) -> str:
    """The command that makes the audit again."""
    found = pair_of(plan) or {}
    named = {"card": plan["datasets"][0], **{role: found[role]["file"] for role in ROLES}}
    named |= {k: v for k, v in found.get("question", {}).items() if k not in ("n_reaudited", "seconds")}
    named |= {k: "all" for k, v in named.items() if k == "people" and v is None}
    return shlex.join(["cfq", "audit", *(w for k, v in named.items() for w in (f"--{k.replace('_', '-')}", str(v)))])


def section(study: Stored) -> str:
    """Its part of a report as HTML; every word of a card or a file is escaped. Empty of any other study."""
    said = lines(study.row["plan"])
    if not said:
        return ""
    each = "".join(f"<li>{html.escape(line)}</li>" for line in said)
    return f"<h3>The two files, and how they run</h3><ul class=files>{each}</ul>"
