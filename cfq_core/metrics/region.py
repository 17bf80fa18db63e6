"""Share of recourse points around which a whole region is proved to be approved by the student."""

from __future__ import annotations

from cfq_core.certificates.region import holds
from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where the region certificate holds; no rows where it was not computed."""
    known = e.found if "region" in e.lowest else e.found & False
    return PerRow(holds(e)[known].astype(float), e.person[known])


PLUGIN = Metric("region around the point holds", "share", "higher", score, by_group=True)
