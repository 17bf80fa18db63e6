"""The first page of a report: what it decides follows from the bounds, and leniency is never a pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cfq_core.base.shipped import shipped
from cfq_core.report import decision
from cfq_core.report.decision import FAIL, OPEN, PASS
from cfq_core.report.figures import chosen
from cfq_core.report.frames import Stored
from cfq_core.study.safe import CONFIDENCE
from cfq_core.study.store import Store

GALLERY = Path(shipped("gallery"))


def studies() -> list[Stored]:
    """The main studies of the gallery."""
    store = Store.for_reading(GALLERY)
    found = [Stored(str(GALLERY), s["id"], s["finished"]) for s in store.studies() if "methods" in s["name"]]
    store.close()
    return found


@pytest.mark.parametrize("study", studies(), ids=lambda s: s.row["name"])
@pytest.mark.parametrize("at_most", [0.02, 0.1, 0.5])
def test_every_decision_of_the_gallery_follows_from_bound_mean_and_leniency(study: Stored, at_most: float) -> None:
    dataset = study.runs.dataset.iloc[0]
    bounds = {(a.method, t.budget): t for a in study.safe(dataset, at_most, CONFIDENCE) for t in a.tried}
    seen = set()
    for method, budget in set(zip(study.runs.method, study.runs.budget, strict=True)):
        d = decision.decided(study, chosen(study, dataset, method, budget), at_most)
        line = study.lines[(study.lines.method == method) & (study.lines.budget == budget)].set_index("measure")
        vd, tried = line.loc["vd"], bounds.get((method, budget))
        within = tried is not None and tried.bound is not None and tried.bound <= at_most
        expected = PASS if within and not vd.lenient else FAIL if vd["mean"] > at_most and not within else OPEN
        assert d.verdict == expected, (method, budget, d)
        assert ("That was bought" in d.says) == bool(vd.lenient)
        assert ("reaches below it" in d.says) == (d.verdict == FAIL and not vd.seed_low > at_most)
        if passing := re.match(r"Passes: .*?(\w+)\)? at ([\d.]+) bits", d.todo):
            assert d.verdict != PASS and not bounds[passing[1], float(passing[2])].lenient
            assert bounds[passing[1], float(passing[2])].safe
        assert d.todo, "every decision says what to do"
        seen.add(d.verdict)
    assert len(seen) > 1
