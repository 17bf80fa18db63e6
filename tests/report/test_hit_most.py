"""No group is called hit most where chance, or another seed, would have named another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cfq_core.report import by_group, sentences
from cfq_core.report.charts import groups
from cfq_core.report.frames import Stored


def _dealt_groups(monkeypatch: pytest.MonkeyPatch, rates: dict[int, tuple[float, float, float]]) -> None:
    """Instead of what is stored: by seed of 120 people a group, how many of three groups' promises break."""
    of_run: dict[str, int] = {}

    def values(study: Stored, run: str, measure: str) -> pd.DataFrame:
        seed = of_run.setdefault(run, len(of_run))
        broken = [i < 120 * rate for rate in rates[seed] for i in range(120)]
        return pd.DataFrame({"value": np.array(broken, float), "home": np.repeat(["rent", "own", "free"], 120)})

    monkeypatch.setattr(by_group, "values", values)
    monkeypatch.setattr(by_group, "hit_most", by_group.hit_most.__wrapped__)  # as if nothing had been asked before


CASES = {
    "one group": ({0: (0.4, 0.1, 0.1), 1: (0.35, 0.12, 0.1), 2: (0.45, 0.1, 0.12)}, True),
    "no group": ({0: (0.22, 0.2, 0.18), 1: (0.21, 0.2, 0.2), 2: (0.22, 0.19, 0.2)}, False),
    "another one a seed": ({0: (0.4, 0.1, 0.1), 1: (0.1, 0.4, 0.1), 2: (0.1, 0.1, 0.4)}, False),
}


@pytest.mark.parametrize("case", CASES)
def test_a_group_is_called_hit_most_only_where_the_data_show_it(
    case: str, german: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups that do not differ, or differ another way on every seed, name nobody: in words, text and colour."""
    (rates, shown), asked = CASES[case], (german, "german", "ptq", 4.0, "vd")
    _dealt_groups(monkeypatch, rates)
    hit = by_group.hit_most(*asked)
    assert hit is not None and hit.shown == shown
    said = sentences.groups(*asked)
    assert ("the group hit most is **home: rent**" in said) == shown
    assert ("no group is shown to be hit more" in said) == (not shown)
    stored = german.groups[~german.groups.crossing.astype(bool)].iloc[0]
    monkeypatch.setattr(by_group, "hit_most", lambda *_: replace(hit, column=stored.column, level=stored.level))
    rows = groups.rows(*asked)
    assert rows.hit_most.sum() == int(shown)
    assert ("is hit most" in groups.alt_text(rows, *asked[1:])) == shown
