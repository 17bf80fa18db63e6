"""One page: its place in the navigation, its name, and the function that draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """Ends every file of ``dashboard/pages/``; the file's name is the page's address."""

    order: int
    title: str
    question: str  # what it helps to answer: one of `dashboard.lib.pages.QUESTIONS`
    icon: str  # a Material symbol, bundled with streamlit
    body: Callable[[], None]
    default: bool = False  # the page that opens

    def draw(self, name: str) -> None:
        """Last line of a page's file, with its ``__name__``: draws where streamlit runs it, not on import."""
        if name == "__main__":
            self.body()
