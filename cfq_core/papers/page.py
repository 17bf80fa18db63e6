"""The papers as one HTML file that needs no network and prints on few pages; every word of a card is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cfq_core.evidence import SMALLEST_GROUP
from cfq_core.papers import sheets
from cfq_core.papers.impact import EVERYBODY
from cfq_core.papers.reasons import RULE, WORDS
from cfq_core.papers.told import Told
from cfq_core.report.html import POLICY, STYLE, table

if TYPE_CHECKING:
    from cfq_core.papers.made import Papers

OWN_STYLE = Path(__file__).with_name("papers.css").read_text(encoding="utf-8")
PRINTED = 12  # denied people whose reasons stand on the page; everybody's stand in the CSV and the JSON
VOID = (
    "These papers are about the files whose sha256 they name and the people of the table they name. Another file, "
    "table, card or encoding needs papers of its own, whatever the date."
)


def page(papers: Papers) -> str:
    """The whole file."""
    title = f"Papers of {papers.inventory['model']} on {papers.title}"
    body = (
        f"<h1>{_e(title)}</h1><p class=note>Made {_e(papers.made)} from run {_e(papers.run)} of study "
        f"{_e(papers.study)}; valid until: {_e(papers.inventory['valid until'])}.</p>"
        f"{_inventory(papers)}{_reasons(papers)}{_challengers(papers)}{_impact(papers.impact)}{_limits(papers.limits)}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_e(title)}</title>\n<style>{STYLE}{OWN_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


# ---------------------------------------------------------------------- sections
def _inventory(papers: Papers) -> str:
    rows = "".join(
        f"<tr><th>{_e(k)}</th><td{' class=missing' if v == sheets.NOT_STATED else ''}>{_e(v)}</td></tr>"
        for k, v in papers.inventory.items()
    )
    return (
        f'<section id="inventory"><h2>Inventory entry</h2><table class="entry"><tbody>{rows}</tbody></table>'
        f"<p class=note>{_e(VOID)}</p></section>"
    )


def _reasons(papers: Papers) -> str:
    told = papers.told
    counts = told.counts()
    said = "; ".join(f"{counts[how]:,}: {words}" for how, words in WORDS.items() if counts[how])
    return (
        f'<section id="reasons" class="own-page"><h2>Principal reasons</h2><p class="verdict">{counts["denied"]:,} of '
        f"{len(told.logits):,} test people are denied{f'. Of these {_e(said)}' if said else ''}.</p>"
        f"<p class=note>{_e(RULE)} Decided by: {_e(papers.decided_by)}.</p>{_frame(told.by_feature())}"
        f"{_first(told)}{_reviewers(told)}</section>"
    )


def _first(told: Told) -> str:
    rows = []
    for d in told.denied[:PRINTED]:
        lines = [told.reason(d.before, r) for r in d.reasons]
        reasons = "; ".join(f"{r['words']}: {r['now']} -> {r['instead']}" for r in lines)
        rows.append({"person": d.person, "principal reasons": reasons or "–", "what they are": WORDS[d.how]})
    note = f"The first {len(rows)} of {len(told.denied):,}; everybody is in reasons.csv and papers.json."
    return f"<h3>People</h3>{_frame(rows)}<p class=note>{note}</p>" if rows else ""


def _reviewers(told: Told) -> str:
    """What is no reason to tell, and what a reviewer has to know."""
    found = told.warnings()
    protected = [w for w in found if w["what it is"] == "protected"]
    if not found:
        return "<p>For reviewers: no column that people cannot change would alone decide otherwise.</p>"
    mark = " class=caution" if protected else ""
    said = (
        "another value of a protected column alone would approve some of the denied."
        if protected
        else "no protected column alone would approve anybody; facts that people cannot change would."
    )
    note = "Nothing is asked of anybody here. That a column decides alone does not say why, nor that it is allowed."
    return f"<p{mark}>For reviewers: {said}</p>{_frame(found)}<p class=note>{note}</p>"


def _challengers(papers: Papers) -> str:
    rows = [
        {
            "kind": r["kind"] or "–", "method": f"{r['name']} ({r['method']})" + (" – this one" if r["filed"] else ""),
            "accuracy": _share(r, "accuracy"), "promises that break": _share(r, "vd"),
            "at matched approval": _share(r, "vd_matched"), "approval shift": _share(r, "approval_shift", sign="+"),
            "seeds": r["seeds"], "caution": r["lenient"],
        }
        for r in papers.challengers
    ]  # fmt: skip
    lacking = sheets.missing(papers.challengers)
    gap = f" Not tried in this study: {', '.join(lacking)}." if lacking else ""
    return (
        '<section id="challengers" class="own-page"><h2>Challengers at the same budget</h2>'
        f"{_frame(rows)}<p class=note>Every method of study {_e(papers.study)} at this run's budget. Means over "
        "seeds in %, in brackets Student's 95 % interval of the mean; none for a single seed, which is no claim. "
        f"FP32 is the original: it makes the promises.{gap}</p></section>"
    )


def _impact(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        {
            "column": x["column"], "group": x["group"], "people": x["people"],
            "approved by FP32": _few(x, _share(x, "approved_original")), "approved": _few(x, _share(x, "approved")),
            "shift": _few(x, _share(x, "shift", sign="+")),
            "against all others": _share(x, "approved_against_others", sign="+"),
            "promised": x["promised"], "break": _share(x, "vd"),
            "break, against all others": _share(x, "vd_against_others", sign="+"),
        }
        for x in lines
    ]  # fmt: skip
    groups = "" if any(x["column"] != EVERYBODY for x in lines) else " The card names no protected column."
    return (
        f'<section id="impact"><h2>Impact by group</h2>{_frame(rows)}<p class=note>Of this run\'s test people, in %, '
        "with 95 % intervals over people (Wilson; differences: Newcombe; shift: paired). Groups of fewer than "
        f"{SMALLEST_GROUP} people are counted and not judged. A difference is not explained.{groups}</p></section>"
    )


def _limits(limits: Sequence[str]) -> str:
    return f'<section id="limits"><h2>Limits</h2><ul>{"".join(f"<li>{_e(x)}</li>" for x in limits)}</ul></section>'


# ---------------------------------------------------------------------- small pieces
def _frame(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(pd.DataFrame(rows)) if rows else ""


def _share(row: Mapping[str, Any], name: str, sign: str = "") -> str:
    """``12.3 (9.8 to 15.1)`` in per cent; a dash where it is not defined."""
    value, low, high = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return "–"
    ends = "" if low is None or high is None else f" ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"
    return f"{100 * value:{sign}.1f}{ends}"


def _few(line: Mapping[str, Any], text: str) -> str:
    return text if line["judged"] else "too few"


def _e(text: object) -> str:
    return html.escape(str(text))
