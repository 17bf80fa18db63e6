"""Study: choose what to run, run it in the background, watch it, stop it; or open a stored one."""

from __future__ import annotations

from dashboard.lib import ui
from dashboard.lib.page import Page


def body() -> None:
    """The form, then what runs."""
    ui.head("Study", "Choose a data set, methods and budgets, and run.")


PAGE = Page(order=1, title="Study", icon="play_circle", body=body)
PAGE.draw(__name__)
