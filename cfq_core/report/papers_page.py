"""The papers of a run as one page: it loads and runs nothing, and every word of a card or a user is escaped."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from cfq_core.evidence import SMALLEST_GROUP
from cfq_core.report.html import POLICY, STYLE
from cfq_core.report.papers import UNSAID, Papers
from cfq_core.report.reasons import MOST, SPREAD, Reasons

SHOWN = 40  # denied people on the page; all are in reasons.csv
MOST_GROUPS = 60  # rows of the impact table on the page
DARK = """
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark }
  body { color: #e6e8ea; background: #14171a }
  h2 { border-color: #e6e8ea }
  a { color: #7fc4ee }
  .verdict { background: #1d252c; border-color: #7fc4ee }
  .caution { background: #2b2117; border-color: #e0954a }
  .note { color: #a9b1b9 }
  th, td { border-color: #3a424a }
  thead th { border-color: #a9b1b9 }
}
@media print { #reasons, #limits { break-before: auto } }
"""
KINDS = {"alone": "each alone would change it", "together": "all of them together would change it"}


def page(p: Papers) -> str:
    """The whole page."""
    inventory = p.inventory
    parts = (_opening(p), _inventory(p), _challengers(p), _impact(p), _reasons(p), _limits(p))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_e(inventory['decision'])}: papers of run {_e(inventory['run'])}</title>\n"
        f"<style>{STYLE}{DARK}</style></head>\n<body>{''.join(parts)}</body></html>\n"
    )


# ---------------------------------------------------------------------- sections
def _opening(p: Papers) -> str:
    i, unsaid = p.inventory, [k for k in ("owner", "purpose", "tier", "expires") if p.inventory[k] == UNSAID]
    until = "No expiry date is stated." if "expires" in unsaid else f"These papers expire on {i['expires']}."
    missing = f'<p class="caution">Not stated: {", ".join(unsaid)}.</p>' if unsaid else ""
    links = (("inventory", "Inventory"), ("challengers", "Challengers"), ("impact", "Impact"),
             ("reasons", "Reasons"), ("limits", "Limits"))  # fmt: skip
    nav = "".join(f'<a href="#{at}">{name}</a>' for at, name in links)
    return (
        f"<h1>{_e(i['decision'])}</h1><p>Papers of run {_e(i['run'])}: {_e(i['model'])}. Built from stored data; which "
        f"of them are due, and where, is not judged here.</p>"
        f'<p class="verdict">{_e(_counted(p))} {_e(until)}</p>{missing}'
        f"<nav>{nav}</nav>"
    )


def _counted(p: Papers) -> str:
    kinds = Counter(r.kind for r in p.reasons)
    return (
        f"{len(p.reasons):,} of {len(p.run.test):,} test people are denied. For {kinds['alone']:,} one thing alone "
        f"would change the decision, for {kinds['together']:,} a few together, for {kinds['none']:,} nothing that was "
        f"tried."
    )


def _inventory(p: Papers) -> str:
    rows = [*p.inventory.items(), *((f"sha256 of {k}", v) for k, v in p.hashes.items())]
    return f'<section id="inventory"><h2>Inventory entry</h2>{_table((), rows)}</section>'


def _challengers(p: Papers) -> str:
    head = ("", "model", "bits", "accuracy (%)", "VD (%)", "VD, matched (%)", "approval shift (points)", "seeds", "")
    rows = [
        (r["family"], f"{r['name']} ({r['method']})" if r["name"] != r["method"] else r["name"], f"{r['bits']:g}",
         *(_interval(r, m) for m in ("accuracy", "vd", "vd_matched", "approval_shift")), r["seeds"],
         "; ".join(["this model"] * bool(r["this model"]) + ["lenient"] * bool(r["lenient"])))
        for r in p.challengers.to_dict("records")
    ]  # fmt: skip
    gone = f" Not in this study: {', '.join(p.missing)}." if p.missing else ""
    return (
        f'<section id="challengers"><h2>Challengers at {p.run.row["budget"]:g} bits</h2>{_table(head, rows)}'
        f"<p class=note>Means over seeds, in brackets Student's 95 % interval; none for a single seed, which is no "
        f"claim. VD: share of the FP32 model's promises that this model breaks; FP32 keeps its own by definition. "
        f"Matched: at the FP32 model's approval rate.{_e(gone)}</p></section>"
    )


def _impact(p: Papers) -> str:
    head = ("column", "group", "people", "approved, FP32 (%)", "approved (%)", "shift (points)", "less all others",
            "ratio to the highest", "promises", "VD (%)", "VD, less all others")  # fmt: skip
    listed = p.impact.to_dict("records")
    rows = [
        (r["column"], r["group"], r["people"], *_judged(r, "approved_fp32"),
         *(_told(r, m) for m in ("approved", "approval_shift", "others")), _ratio(r), r["promised"],
         *(_told(r, m) for m in ("vd", "vd_others")))
        for r in listed[:MOST_GROUPS]
    ]  # fmt: skip
    more = f" {len(listed) - MOST_GROUPS} more rows are in impact.csv." if len(listed) > MOST_GROUPS else ""
    table = _table(head, rows) if rows else "<p>The card names no protected column.</p>"
    return (
        f'<section id="impact"><h2>Impact by group</h2>{table}<p class=note>Of this one model on its test people; in '
        "brackets the 95 % interval over people, of a group less all others Newcombe's. Groups of fewer than "
        f"{SMALLEST_GROUP} people, and of fewer than "
        f"{SMALLEST_GROUP} promises for VD, are counted and not judged.{more}</p></section>"
    )


def _told(r: Any, name: str) -> str:
    return "too few" if pd.isna(r[name]) else _interval(r, name)


def _reasons(p: Papers) -> str:
    first = Counter(r.reasons[0].words for r in p.reasons if r.reasons)
    named = Counter(x.words for r in p.reasons for x in r.reasons)
    often = [(words, first[words], n) for words, n in named.most_common(12)]
    rest = f" The first {SHOWN} are shown; all {len(p.reasons):,} are in reasons.csv." if len(p.reasons) > SHOWN else ""
    lost = f" Of {p.unconfirmed} people the file did not confirm all, and that was taken back." if p.unconfirmed else ""
    rows = [(r.person, _why(r), "; ".join(x.line for x in r.protected)) for r in p.reasons[:SHOWN]]
    warned = sum(bool(r.protected) for r in p.reasons)
    caution = (
        f'<p class="caution">For reviewers: of {warned:,} denied people a protected column alone would change the '
        f"decision, with everything else as it is. It is never a reason to act on.</p>"
        if warned
        else ""
    )
    most_often = f"<h3>What decides most often</h3>{_table(('', 'first reason', 'a reason'), often)}" if often else ""
    return (
        f'<section id="reasons"><h2>Principal reasons</h2><p>At most {MOST} for each denied person, the least change '
        f"first (in the card's cost units); facts and protected columns are never among them. Each was changed within "
        f"what the card allows this person, and decided anew on: {_e(p.verified)}.{_e(lost)}</p>{caution}{most_often}"
        f"<h3>Person by person</h3><p class=note>Numbers over a wide range are tried at {SPREAD} values, so a smaller "
        f"change than the one told may exist.{_e(rest)}</p>"
        f"{_table(('person', 'principal reasons', 'for reviewers'), rows)}</section>"
    )


def _why(r: Reasons) -> str:
    if not r.reasons:
        return f"None told: {r.why}."
    several = KINDS[r.kind] if len(r.reasons) > 1 else "it alone would change it"
    more = f"; {r.further} more would" if r.further else ""
    return f"{'; '.join(x.line for x in r.reasons)} ({several}{more})"


def _limits(p: Papers) -> str:
    return f'<section id="limits"><h2>Limits</h2><ul>{"".join(f"<li>{_e(s)}</li>" for s in p.limits)}</ul></section>'


# ---------------------------------------------------------------------- small pieces
def _interval(row: Any, measure: str) -> str:
    value, low, high = (100 * row[f"{measure}{end}"] for end in ("", "_low", "_high"))
    if pd.isna(value):
        return "–"
    sign = "+" if measure in ("approval_shift", "others", "vd_others") else ""
    text = f"{round(value, 1) or 0.0:{sign}.1f}"
    return text if pd.isna(low) else f"{text} ({low:{sign}.1f} to {high:{sign}.1f})"


def _judged(row: Any, *measures: str) -> list[str]:
    return [("–" if row["judged"] else "too few") if pd.isna(row[m]) else f"{100 * row[m]:.1f}" for m in measures]


def _ratio(row: Any) -> str:
    return "–" if pd.isna(row["ratio"]) else f"{row['ratio']:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    top = f"<thead><tr>{''.join(f'<th>{_e(c)}</th>' for c in head)}</tr></thead>" if any(head) else ""
    body = "".join(f"<tr>{''.join(f'<td>{_e(c)}</td>' for c in row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'


def _e(text: object) -> str:
    return html.escape(str(text))
