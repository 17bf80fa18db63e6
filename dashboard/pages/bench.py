"""Bits bench: give each layer its bits and see at once what becomes of the promises."""

from __future__ import annotations

from dashboard.lib import component, data, state, ui
from dashboard.lib.page import Page

TERMS = ("bit budget", "VD, validity drop", "approval shift", "matched approval", "seed")


def body() -> None:
    """One view; it asks the server nothing."""
    sel = state.selected()
    if sel is None:
        return ui.nothing_stored()
    ui.head(
        "Bits bench",
        "Not every layer needs the same bits. **Move a layer's slider and see how many promises fail**, how approvals "
        "shift and how small the model gets; or let the best plan within a budget be found.",
        TERMS,
    )
    given = data.bench(sel.study, sel.dataset)
    if given is None:
        return ui.empty("All plans are judged for nets of up to four layers; older studies get them when run again.")
    mine = sel.study.runs[sel.study.runs.run == sel.run].bits
    start = "-".join(map(str, mine.iloc[0])) if len(mine) else ""
    component.mount("bench", {**given, "now": sel.budget, "start": start}, key="bench")


PAGE = Page(order=7, title="Bits bench", question="What to do?", icon="tune", body=body)
PAGE.draw(__name__)
