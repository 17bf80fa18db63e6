"""Tables at the ends of what a table may be, through study, report and pages: no error, and no number that is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import cfq_core
from cfq_core.api.stored import Study
from cfq_core.base.errors import BadInput
from dashboard.lib import pages
from tests.dashboard import odd

TABLES = odd.tables()
NOTHING_TO_DO = "nothing can be changed"
NO_NUMBER = re.compile(r".{0,60}(?<![\w-])(?:nan|NaN|-?inf|None|NaT)(?!\w).{0,30}")


@pytest.fixture(scope="module", params=[t for t in TABLES if t != NOTHING_TO_DO])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    frame, card = TABLES[request.param]
    yield cfq_core.study(
        frame, card, methods=["ptq", "cfq_anchored"], bits=[2, 4], seeds=2, people=12, hidden=(8,),
        store=tmp_path_factory.mktemp("odd") / "store", workers=0, progress=False,
    )  # fmt: skip


@pytest.mark.gate
def test_an_odd_table_goes_through_study_report_and_every_page(
    made: Study, open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = re.sub(
        r"<svg.*?</svg>|<style.*?</style>|<[^>]*>", " ", made.report(tmp_path / "r.html").read_text(), flags=re.S
    )
    assert not NO_NUMBER.findall(words)
    assert not NO_NUMBER.findall(" ".join(made.verdicts()))
    monkeypatch.setenv("CFQ_STORE", str(made.store))
    monkeypatch.setenv("CFQ_GALLERY", str(tmp_path / "none"))
    for name in sorted(pages.found()):
        at = open_page(name)
        assert not at.exception and not at.error, (name, at.exception, [e.value for e in at.error])
        said = [*at.markdown, *at.caption, *at.info, *at.warning, *at.success]
        alts = [c.proto.alt for c in at.get("vega_lite_chart")]
        assert not NO_NUMBER.findall("\n".join([*(str(m.value) for m in said), *alts])), name


def test_a_table_of_which_nobody_can_change_anything_is_refused_in_one_line(tmp_path: Path) -> None:
    frame, card = TABLES[NOTHING_TO_DO]
    with pytest.raises(BadInput, match="no feature is actionable"):
        cfq_core.study(frame, card, store=tmp_path / "store", progress=False)
