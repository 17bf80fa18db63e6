"""What is selected, in the URL and the sidebar: study, data set, method, budget, seed, approval, person.

The only place that touches the URL. Study and person are written there by hand, always, so that a copied
address opens the same view even after a newer study has come; the rest are bound widgets, whose defaults
follow from the study alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from cfq_core.report import fmt, names
from cfq_core.report.escape import plain
from cfq_core.report.frames import Stored
from dashboard.lib import component, data, sharing, workspace

#: For a page's own control with a plain key: its choice stands in the address while the page is open.
IN_LINK: dict[str, Any] = {"bind": "query-params"}
APPROVALS = ("raw", "matched")
NOTHING = "nothing"  # to compare with
APPROVAL_HELP = (
    "raw: the student at its own threshold. matched: the student with its threshold moved so that it approves as many "
    "validation people as the teacher."
)
USUAL_METHOD, USUAL_BUDGET = "ptq", 4.0  # what a study opens with, where it has them
LONG_NAME = 34  # characters of a name that a select box of the sidebar shows
ECHO = 2.0  # seconds in which the browser may still send the address from before a change


@dataclass(frozen=True)
class Selection:
    """One student of one study, and perhaps a person; everything a page shows hangs on it."""

    listed: data.Listed
    study: Stored
    dataset: str
    method: str
    budget: float
    seed: int
    matched: bool
    person: int | None
    against: str | None = None  # another method, which every page sets beside it

    @property
    def run(self) -> str | None:
        """Id of the selected student's run; None where it is not stored (yet)."""
        return self._stored[0]

    @property
    def teacher(self) -> str | None:
        """Id of its teacher."""
        return self._stored[1]

    @property
    def _stored(self) -> tuple[str | None, str | None]:
        return self.study.ids.get((self.dataset, self.method, self.budget, self.seed), (None, None))

    def at(self, measure: str) -> str:
        """A measure's stored name under the selected approval."""
        return f"{measure}_matched" if self.matched else measure

    def query(self) -> dict[str, str]:
        """Every part of the selection, as the URL writes it."""
        chosen = {"study": self.study.id, "dataset": self.dataset, "method": self.method, "budget": f"{self.budget:g}"}
        chosen |= {"seed": str(self.seed), "approval": APPROVALS[self.matched]}
        chosen |= {"b": self.against} if self.against else {}
        return chosen if self.person is None else {**chosen, "person": str(self.person)}


def selected() -> Selection | None:
    """What is selected; None where no study is stored."""
    return st.session_state.get("_selection")


def choose(**changes: object) -> None:
    """Change the selection; call it from a widget's callback. ``person=None`` lets go of the person."""
    for key, value in changes.items():
        st.session_state[key] = (
            f"{value:g}" if key == "budget" else None if value is None else value if key == "study" else str(value)
        )


def forget(key: str, options: Sequence[str]) -> None:
    """Before a page's control is drawn: let go of what is not among its options, chosen on another study."""
    if isinstance(chosen := st.session_state.get(key), list):
        st.session_state[key] = [c for c in chosen if c in options]


def sidebar() -> None:
    """Draw the selection and keep it for the page."""
    st.session_state["_selection"] = None
    if workspace.is_on():
        _follow_shared()
    listed = {s.id: s for s in data.studies()}
    with st.sidebar:
        if trouble := data.problem():
            st.error(plain(trouble))
        if not listed:
            st.caption("No study yet. The page **Study** makes one.")
            return
        st.session_state["_selection"] = _select(listed)
        _permalink(st.session_state["_selection"])


def _select(listed: dict[str, data.Listed]) -> Selection:
    study_id = _named("Study", "study", {i: s.label for i, s in listed.items()})
    of = listed[study_id]
    if len(of.label) > LONG_NAME:  # a select box cuts it
        st.text(of.label)
    study = data.study(of)
    runs = study.runs
    datasets = list(dict.fromkeys(runs.dataset))
    dataset = one("Data set", "dataset", datasets, datasets[0]) if len(datasets) > 1 else datasets[0]
    runs = runs[runs.dataset == dataset]
    methods = list(dict.fromkeys(runs.method))
    method = one("Method", "method", methods, USUAL_METHOD if USUAL_METHOD in methods else methods[0])
    st.caption(plain(names.plain(method)))
    budgets = sorted(set(runs[runs.method == method].budget))
    usual = min(budgets, key=lambda b: abs(b - USUAL_BUDGET))
    budget = _slider("Budget (bits per weight)", "budget", [f"{b:g}" for b in budgets], f"{usual:g}")
    seeds = [str(s) for s in sorted(set(runs.seed))]
    seed = one("Seed (for single models and people)", "seed", seeds, seeds[0])
    approval = _approval()
    against = one("Compare with (B)", "b", [NOTHING, *(m for m in methods if m != method)], NOTHING)
    person = _person()
    _write("study", study_id)
    if workspace.is_on():  # no link to another study tells of it
        _write("shared", sharing.token() if of.shared else None)
    component.mount("address", {"study": study_id}, key="address")
    return Selection(of, study, dataset, method, float(budget), int(seed), approval == "matched", person,
                     None if against == NOTHING else against)  # fmt: skip


# ---------------------------------------------------------------------- bound widgets
def one(label: str, key: str, options: Sequence[str], usual: str) -> str:
    """A select box whose choice stands in the address; a link to what is not there says so."""
    _drop_stale(key, options, usual)
    chosen = st.selectbox(label, options, index=list(options).index(usual), key=key, bind="query-params")
    return chosen if chosen in options else usual


def _slider(label: str, key: str, options: Sequence[str], usual: str) -> str:
    _drop_stale(key, options, usual)
    if len(options) == 1:
        st.caption(plain(f"{label}: {options[0]}"))
        return options[0]
    return st.select_slider(label, options, value=usual, key=key, bind="query-params")


def _approval() -> str:
    _drop_stale("approval", APPROVALS, APPROVALS[0])
    chosen = st.segmented_control(
        "Approval",
        APPROVALS,
        default=APPROVALS[0],
        key="approval",
        bind="query-params",
        help=APPROVAL_HELP,
    )
    return chosen or APPROVALS[0]


def _drop_stale(key: str, options: Sequence[str], usual: str) -> None:
    """Say so where a link asks for what this study does not have; forget what another study had."""
    raw = st.query_params.get(key)
    first = key not in st.session_state
    if first and raw is not None and raw not in options:
        st.warning(plain(f'The link asks for {key} "{raw[:60]}", which is not in this study. Showing {usual}.'))
    if not first and st.session_state[key] not in options:
        st.session_state[key] = usual


# ---------------------------------------------------------------------- unbound: what has an id, and person
def named(label: str, key: str, options: Mapping[str, str]) -> str:
    """A select box of things by id -> name, the first at first; gives the id, which stands in the address.

    Of a bound box the name would.
    """
    chosen = _named(label, key, options)
    _write(key, chosen)
    return chosen


def _named(label: str, key: str, options: Mapping[str, str]) -> str:
    _adopt(key, options)
    label_of = lambda i: options.get(i, i)  # noqa: E731  (an id of before a change is drawn once more)
    return st.selectbox(label, list(options), format_func=label_of, key=key, filter_mode=None)


def _adopt(key: str, options: Mapping[str, str]) -> None:
    """Take an id from the URL: at the start of a session, and when the browser goes back."""
    raw, default = st.query_params.get(key), next(iter(options))
    if raw is not None and _is_news(key, raw):
        matching = [o for o in options if o == raw or (len(raw) >= 4 and o.startswith(raw))]
        if len(matching) == 1:
            st.session_state[key] = matching[0]
        else:
            shown = f'Showing "{options[default]}".'
            st.warning(plain(f'The link asks for {key} "{raw[:60]}", which is not stored here. {shown}'))
    if st.session_state.get(key) not in options:
        st.session_state[key] = default


def _follow_shared() -> None:
    """Open what a link shares; a link that shares nothing (any more) says so in one line."""
    raw = st.query_params.get("shared")
    if raw is not None and _is_news("shared", raw):
        sharing.follow(raw)
        if (found := sharing.opened()) is not None:
            st.session_state["study"] = found.study
    if sharing.token() is not None and sharing.opened() is None:
        sharing.follow(None)
        _write("shared", None)
        st.error("This study is not shared with you.", icon=":material/error:")


def _person() -> int | None:
    raw = st.query_params.get("person")
    if raw is not None and _is_news("person", raw):
        if raw.isascii() and raw.isdigit() and len(raw) < 9:
            st.session_state["person"] = raw
        else:
            st.warning(plain(f'The link asks for person "{raw[:60]}"; a person is a whole number.'))
    chosen = st.session_state.get("person")
    _write("person", chosen)
    return None if chosen is None else int(chosen)


def _is_news(key: str, raw: str) -> bool:
    """Whether the URL says something that this session did not write; an echo of the time before a change is none."""
    now, before, at = st.session_state.get(f"_url_{key}", (None, None, 0.0))
    return raw != now and not (raw == before and time.monotonic() - at < ECHO)


def _write(key: str, value: str | None) -> None:
    written = st.session_state.get(f"_url_{key}", (None, None, 0.0))
    if written[0] != value:
        st.session_state[f"_url_{key}"] = (value, written[0], time.monotonic())
    if st.query_params.get(key) == value:
        return  # written again it would be one more step in the browser's history
    if value is None:
        del st.query_params[key]
    else:
        st.query_params[key] = value


def permalink(of: Selection) -> str:
    """The address of this view: every part of the selection written out, and the page's own controls."""
    base = (st.context.url or "").split("?")[0]
    return f"{base}?{urlencode({**st.query_params.to_dict(), **of.query()})}"


def _permalink(of: Selection) -> None:
    seeds = len(set(of.study.runs.seed))
    with st.popover("Link to this view", icon=":material/link:", width="stretch"):
        st.code(permalink(of), language=None, wrap_lines=True)
        st.caption("Reopens this study, model and person, whatever is the newest study by then.")
    if workspace.is_on() and not of.listed.gallery and not of.listed.shared:
        with st.popover("Share this study", icon=":material/group:", width="stretch"):
            sharing.panel(of.study.id)
    st.caption(f"study {of.study.id} · {of.study.margin_words} · {fmt.counted(seeds, 'seed')}")
