"""A stored study as one HTML file: verdicts, pictures with the tables behind them, allocations, groups, facts, limits.

Nothing in it is loaded or run: no script, no address that a browser would follow, a policy that forbids both. What a
card or a name says is escaped.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cfq_core import __version__
from cfq_core.evidence import SMALLEST_GROUP
from cfq_core.report import decision, facts, fmt, pair, safe_text
from cfq_core.report.figures import Chosen, Figure, chosen, figures, svg
from cfq_core.report.frames import Stored
from cfq_core.report.person import Action, examples
from cfq_core.study import summary
from cfq_core.tables.constraints import sentences
from cfq_core.tables.schema import Schema

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
MOST_ROWS = 120  # of a table that is printed; a longer one stands in the zip of tables
WORD = 24  # characters up to which a word of a table is not broken
BY_GROUP = ("vd", "crg_median", "approval_shift", "recourse_lost", "frr")  # columns of the group tables
#: Terms that a report explains.
TERMS = ("teacher", "student", "recourse", "VD, validity drop", "CRG, recourse gap", "approval shift",
         "matched approval", "unmatched", "bit budget", "promise margin κ", "margin condition", "lenient", "interval",
         "cost")  # fmt: skip

STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")


@lru_cache(maxsize=16)
def page(
    study: Stored,
    dataset: str = "",
    method: str = "",
    budget: float = 0.0,
    seed: int = -1,
    matched: bool = False,
    at_most: float = safe_text.AT_MOST,
    notes: tuple[str, ...] = (),
) -> str:
    """The whole report. What is given is what the chosen data set's pictures are about; else the usual student.

    ``at_most``: the share of broken promises that its first page decides by; ``notes``: what readers wrote.
    """
    datasets, parts, number = list(dict.fromkeys(study.runs.dataset)), [], 0
    if dataset in datasets:
        datasets = [dataset, *(d for d in datasets if d != dataset)]
    for name in datasets:
        of = chosen(study, name, method, budget, seed, matched) if name == dataset else chosen(study, name)
        drawn = list(figures(study, of))
        parts.append(_dataset(study, of, drawn, number))
        number += len(drawn)
    first = chosen(study, datasets[0], method, budget, seed, matched)
    opening = [_opening(study, datasets), decision.page(study, first, at_most), _notes(notes)]
    body = "".join([*opening, *parts, _provenance(study), _limits(study, datasets), _glossary()])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_e(study.row['name'])}: does the recourse survive?</title>\n<style>{STYLE}</style></head>\n"
        f"<body>{body}</body></html>\n"
    )


# ---------------------------------------------------------------------- sections
def _opening(study: Stored, datasets: Sequence[str]) -> str:
    row, setting, seeds = study.row, study.setting, fmt.counted(len(set(study.runs.seed)), "seed")
    rest = "" if row["finished"] == row["runs"] else f" It is not finished: {row['finished']} of {row['runs']} runs."
    links = "".join(f'<a href="#{_anchor(d)}">{_e(d)}</a>' for d in datasets)
    return (
        f"<h1>{_e(row['name'])}</h1><p>Does the recourse that full-precision models promised survive their "
        f"quantization? {_e(summary.networks(row['plan']))}, {seeds}, promise {study.margin_words}, "
        f"actions: {_e(setting['regime'])}.{rest} {_e(summary.about_own(row['plan']))}</p>"
        f'<nav>{links}<a href="#made">How it was made</a><a href="#limits">Limits</a><a href="#terms">Terms</a></nav>'
    )


def _notes(notes: Sequence[str]) -> str:
    said = "".join(f"<li>{_e(n)}</li>" for n in notes)
    return f'<section id="notes"><h2>Notes</h2><ol>{said}</ol></section>' if notes else ""


def _dataset(study: Stored, of: Chosen, drawn: Sequence[Figure], number: int) -> str:
    lines, about = study.lines, (of.dataset, of.method, of.budget)
    caution = fmt.caution(lines, *about)
    title = facts.schema_of(study, of.dataset)
    out = [
        f'<section id="{_anchor(of.dataset)}"><h2>{_e(title.title if title else of.dataset)}</h2>',
        f'<p class="verdict">{_bold(fmt.answer(study, *about, matched=of.matched))}</p>',
        f'<p class="caution">{_e(caution)}</p>' if caution else "",
        _facts(study, of.dataset),
        pair.section(study),
        f"<h3>Every verdict</h3>{_verdicts(study, of.dataset)}",
        _safe(study, of),
        *(_figure(f, number + i, _same(drawn[:i], f)) for i, f in enumerate(drawn)),
        f"<h3>Bits of every layer</h3>{_allocations(study, of.dataset)}",
        f"<h3>Groups: {_e(of.method)} at {fmt.bits(of.budget)}, seed {of.seed}</h3>{_groups(study, of)}",
        f"<h3>People: {_e(of.method)} at {fmt.bits(of.budget)}, seed {of.seed}</h3>{_people(study, of)}</section>",
    ]
    return "".join(out)


def _facts(study: Stored, dataset: str) -> str:
    schema, t = facts.schema_of(study, dataset), study.teachers[study.teachers.dataset == dataset]
    about = (
        f"{len(t)} full-precision teacher{'s' if len(t) != 1 else ''}: test accuracy {100 * t.accuracy.mean():.1f} %, "
        f"{100 * t.approval_rate.mean():.1f} % approved; of {t.people.sum():,.0f} denied test people "
        f"{100 * t.frr.mean():.1f} % were told of an action"
    )
    costs = t.recourse_cost.dropna()
    about += f", at a mean cost of {costs.mean():.2f} units." if len(costs) else "."
    if schema is None:
        return f"<p>{_e(about)}</p><p class=note>Its card is not at hand here, so its features are not listed.</p>"
    note = f"<p class=caution>{_e(schema.note)}</p>" if schema.note else ""
    named = [("source", schema.source), ("licence", schema.licence), ("favourable", schema.favourable),
             ("unfavourable", schema.unfavourable)]  # fmt: skip
    rows = pd.DataFrame([(k, v) for k, v in named if v], columns=["", " "])
    return (
        f"<p>{_e(about)}</p>{note}{_table(rows)}<h3>What people may change</h3>{_table(facts.features(schema, study))}"
        f"{_constraints(schema)}"
    )


def _constraints(schema: Schema) -> str:
    """What ties the features together, a sentence each; nothing where nothing does."""
    if not schema.constraints:
        return ""
    lines = "".join(f"<li>{_e(line)}</li>" for line in sentences(schema))
    return f"<p>Every action also keeps these constraints of the card:</p><ul>{lines}</ul>"


def _verdicts(study: Stored, dataset: str) -> str:
    with study.store() as store:
        found = [line for line in summary.lines(store, study.id) if line.dataset == dataset]
    return f"<ul>{''.join(f'<li>{_e(summary.verdict(x, study.setting))}</li>' for x in found)}</ul>"


def _safe(study: Stored, of: Chosen) -> str:
    answers = study.safe(of.dataset, safe_text.AT_MOST, safe_text.CONFIDENCE, of.matched)
    claim = _e(safe_text.claim(answers, of.matched))
    return f"<h3>{safe_text.TITLE}</h3>{_table(safe_text.rows(answers))}<p class=note>{claim}</p>"


def _same(before: Sequence[Figure], f: Figure) -> str:
    """Title of an earlier picture of the very same rows; empty where there is none."""
    return next((b.drawn.title for b in before if b.drawn.rows.equals(f.drawn.rows)), "")


def _figure(f: Figure, number: int, same: str) -> str:
    d, rows = f.drawn, f.drawn.rows
    if same:
        table = f"<p class=note>The table behind it is that of “{_e(same)}”.</p>"
    elif len(rows) > MOST_ROWS:
        table = (
            f"<p class=note>The table behind it has {len(rows):,} rows; it is in the zip of tables as {_e(f.name)}.</p>"
        )
    else:
        table = _table(rows)
    return (
        f'<figure role="group" aria-label="{_e(d.alt)}"><h3>{_e(d.title)}</h3>{svg(d.chart, number)}'
        f"<figcaption>{_e(d.alt)} {_e(d.note)}</figcaption></figure><div class=behind>{table}</div>"
    )


def _allocations(study: Stored, dataset: str) -> str:
    counted: dict[tuple[str, float], Counter[str]] = {}
    runs = study.runs[study.runs.dataset == dataset]
    for method, budget, bits in zip(runs.method, runs.budget, runs.bits, strict=True):
        counted.setdefault((method, budget), Counter())["-".join(map(str, bits))] += 1
    spent = runs.groupby(["method", "budget"]).avg_bits.mean()
    rows = [
        (m, b, float(spent[m, b]), ", ".join(f"{plan} ({n} seed{'s' if n > 1 else ''})" for plan, n in c.most_common()))
        for (m, b), c in counted.items()
    ]
    return _table(pd.DataFrame(rows, columns=["method", "budget", "spent", "weight bits, first layer to last"]))


def _groups(study: Stored, of: Chosen) -> str:
    g = study.groups[(study.groups.run == of.run) & ~study.groups.crossing.astype(bool)]
    if g.empty:
        return "<p class=note>This study holds no protected groups.</p>"
    shown = [m for m in BY_GROUP if m in set(g.measure)]
    rows = []
    for (column, level), part in g.groupby(["column", "level"], sort=False):
        cells = part.set_index("measure")
        rows.append([column, level, *(_measured(m, cells.loc[m]) for m in shown if m in cells.index)])
    head = ["column", "group", *(fmt.measured(m).title for m in shown)]
    return (
        f"{_table(pd.DataFrame(rows, columns=head))}<p class=note>Value, 95 % interval over the people "
        f"of this one model, and how many they are. Groups of fewer than {SMALLEST_GROUP} people are "
        f"counted and not shown. Every other run and the crossings "
        f"are in the zip of tables.</p>"
    )


def _people(study: Stored, of: Chosen) -> str:
    if told := pair.told(study, of.run):
        return _told(told)
    found = examples(study, of)
    if isinstance(found, str):
        return f"<p class=note>Who they are cannot be shown here: {_e(found)}</p>"
    rows = [(x.person, _action(x.promised, x.sure), f"{'holds' if x.holds else 'breaks'}, logit {x.logit:+.2f}",
             _action(x.own.action, x.own.sure)) for x in found]  # fmt: skip
    head = ["person", "what FP32 told them", "on the student", "the cheapest on the student"]
    return (
        f"{_table(pd.DataFrame(rows, columns=head))}<p class=note>The {len(rows)} whose promise fares worst on this "
        "student. Proofs are by branch and bound over everything they may do; where its budget ends, the gap that is "
        "left is told. The dashboard's page Person shows everybody.</p>"
    )


def _told(told: Sequence[dict[str, Any]]) -> str:
    """People of an audit of files: those whose promise breaks first."""
    worst = sorted(told, key=lambda r: (r["holds"] is None, r["holds"] is True, r["row"]))[: pair.MOST_PEOPLE]
    return (
        f"{_table(pair.shown(worst))}<p class=note>{len(worst)} of {len(told):,} people, those whose promise breaks "
        "first; row: of the table's file, its header is row 1; refused with: ways to run the deployed file in which it "
        "refuses them. Everybody stands in the CSV of people.</p>"
    )


def _action(action: Action | None, sure: str) -> str:
    if action is None:
        return f"Nothing was found. {sure}"
    return f"{'; '.join(action.lines) or 'nothing: approved as they are'}. Cost {action.cost:.2f}. {sure}"


def _measured(name: str, m: Any) -> str:
    measured = fmt.measured(name)
    if pd.isna(m["value"]):
        return f"too few ({m['count']:.0f})"
    if pd.isna(m["low"]):
        return f"{measured.format(m['value'])}, n {m['count']:,.0f}"
    low, high = measured.scale * m["low"], measured.scale * m["high"]
    return f"{measured.format(m['value'])} ({low:.1f} to {high:.1f}), n {m['count']:,.0f}"


def _provenance(study: Stored) -> str:
    row = study.row
    about = {
        "study": study.id, "created": row["created"], "runs": f"{row['finished']} of {row['runs']}",
        "seeds": ", ".join(map(str, sorted(set(study.runs.seed)))),
        **{f"{d}: fingerprint of the table": i for d, i in facts.tables(study).items()},
        **row["versions"], "report written by cfq": __version__,
    }  # fmt: skip
    made = pd.DataFrame(list(about.items()), columns=["", " "])
    if pair.pair_of(row["plan"]) is not None:
        return (
            f'<section id="made"><h2>How it was made</h2>{_table(made)}<p>The command that audits the files again:</p>'
            f"<pre>{_e(pair.command(row['plan']))}</pre></section>"
        )
    return (
        f'<section id="made"><h2>How it was made</h2>{_table(made)}'
        f"<p>The plan; saved as plan.toml it runs the study again, and what is stored is not run twice:</p>"
        f"<pre>{_e(facts.plan_text(study))}</pre><pre>cfq study plan.toml\ncfq show {_e(study.id)} --markdown\n"
        f"cfq report {_e(study.id)} --html report.html</pre><p>The dashboard opens this view at "
        f"<code>/answer?study={_e(study.id)}</code>.</p></section>"
    )


def _limits(study: Stored, datasets: Iterable[str]) -> str:
    limits = "".join(f"<li>{_e(s)}</li>" for s in facts.limits(study, list(datasets)))
    return f'<section id="limits"><h2>Limits</h2><ul>{limits}</ul></section>'


def _glossary() -> str:
    terms = "".join(f"<dt>{_e(t)}</dt><dd>{_e(fmt.GLOSSARY[t])}</dd>" for t in TERMS)
    return f'<section id="terms"><h2>Terms</h2><dl>{terms}</dl></section>'


# ---------------------------------------------------------------------- small pieces
def _table(rows: pd.DataFrame) -> str:
    numbers = [pd.api.types.is_numeric_dtype(t) and not pd.api.types.is_bool_dtype(t) for t in rows.dtypes]
    kinds = [" class=n" if n else "" for n in numbers]
    head = "".join(f"<th{k}>{_e(c).replace('_', '_<wbr>')}</th>" for k, c in zip(kinds, rows.columns, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, line))}</tr>" for line in rows.itertuples(index=False, name=None))
    top = f"<thead><tr>{head}</tr></thead>" if any(str(c).strip() for c in rows.columns) else ""
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, (int, float, np.integer, np.floating)):
        return f'<td class="n">{"–" if pd.isna(value) else f"{value:.4g}" if value % 1 else f"{value:,.0f}"}</td>'
    text = "–" if value is None else str(value)
    whole = len(text) <= WORD and " " not in text  # such as 2-3-4-8
    return f"<td{' class=w' if whole else ''}>{_e(text)}</td>"


def _bold(text: str) -> str:
    """Our own sentences carry ``**``; what they name is escaped first."""
    pieces: Iterator[str] = iter(_e(text).split("**"))
    return "".join(f"<strong>{p}</strong>" if i % 2 else p for i, p in enumerate(pieces))


def _anchor(name: str) -> str:
    return "data-" + "".join(c if c.isalnum() and c.isascii() else f"_{ord(c):x}" for c in name)


def _e(text: str) -> str:
    return html.escape(str(text))
