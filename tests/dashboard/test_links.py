"""A page's own controls stand in its address: a copied link opens the same view, and another study forgets them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]


def value(at: AppTest, kind: str, key: str) -> object:
    return getattr(at, kind)(key=key).value


@pytest.mark.parametrize(
    ("page", "query", "kind", "key", "opened"),
    [
        ("groups", {"group-crossing": "true"}, "toggle", "group-crossing", True),
        ("playground", {"toy-bits": "2"}, "select_slider", "toy-bits", 2),
        ("playground", {"toy-group": "square"}, "segmented_control", "toy-group", "square"),
        ("curves", {"methods": "ptq_minmax"}, "pills", "methods", ["ptq_minmax"]),
        ("margins", {"beside": "ptq_minmax"}, "pills", "beside", ["ptq_minmax"]),
        ("bits", {"rounded-3": "8"}, "segmented_control", "rounded-3", 8),
        ("person", {"fate": "broken"}, "segmented_control", "fate", "broken"),
        ("person", {"seeds": "true"}, "toggle", "seeds", True),
        ("person", {"in-sex": "2"}, "selectbox", "in-sex", "2"),
    ],
)
def test_link_opens_a_page_with_its_own_controls(
    page: str, query: dict[str, str], kind: str, key: str, opened: object, on_store: Callable[[str], None],
    open_page: Open,
) -> None:  # fmt: skip
    on_store("own")
    at = open_page(page, **query)
    assert not at.exception and value(at, kind, key) == opened


def test_another_study_forgets_methods_it_does_not_have(
    on_store: Callable[[str], None], open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_store("own")
    monkeypatch.delenv("CFQ_GALLERY")
    at = open_page("curves", methods="ptq_minmax")
    gallery = next(o for o in at.selectbox(key="study").options if "Gallery" in o)
    at.selectbox(key="study").select(gallery).run()
    assert not at.exception
    assert "ptq_minmax" not in at.pills(key="methods").value
