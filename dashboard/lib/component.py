"""Our own parts of a page that move in the browser: a script of ``dashboard/static`` that is given plain data.

A script writes text by ``textContent`` alone, so that nothing a card or a name says is markup.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

STATIC = Path(__file__).parents[1] / "static"


def mount(name: str, data: dict[str, Any], key: str, **handlers: Any) -> Any:
    """Draw the component of ``NAME.js`` (and ``NAME.css``); ``on_NAME_change`` hears of the states that it sets."""
    return _registered(name)(key=key, data=data, **handlers)


@cache
def page_style() -> str:
    """What streamlit has no setting for."""
    return (STATIC / "page.css").read_text(encoding="utf-8")


@cache
def _registered(name: str) -> Any:
    css = STATIC / f"{name}.css"
    style = css.read_text(encoding="utf-8") if css.is_file() else None
    script = (STATIC / f"{name}.js").read_text(encoding="utf-8")
    return st.components.v2.component(f"cfq_{name}", html="<div class='root'></div>", css=style, js=script)
