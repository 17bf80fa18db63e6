"""Share of people with recourse on the teacher for whom none was found on the student."""

from __future__ import annotations

from cfq_core.evidence import Evidence, Metric, PerRow


def score(e: Evidence) -> PerRow:
    """1 where the second search found nothing, among people it was run for."""
    asked = e.asked_again & e.found
    return PerRow((~e.again_found[asked]).astype(float), e.person[asked])


PLUGIN = Metric("recourse lost", "share", "lower", score, by_group=True)
