"""The toy picture: its counts are the pipeline's, and its arrows end where the student on the grid says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from streamlit.testing.v1 import AppTest

from cfq_core.report import playground


def test_arrows_break_where_the_picture_shows_a_refusal() -> None:
    scene = playground.scene()
    spacing = [float(np.diff(axis).max()) for axis in (scene.x, scene.y)]
    for bits in playground.BITS:
        student, agree = scene.students[bits], []
        for (x, y), group, holds in zip(scene.after, scene.group, student.holds, strict=True):
            near = np.ix_(np.abs(scene.y - y) <= spacing[1], np.abs(scene.x - x) <= spacing[0])
            around = student.grid[group][near] > 0
            if around.all() or not around.any():  # away from the boundary the grid must say what the promise does
                agree.append(bool(around.all()) == bool(holds))
        assert len(agree) > 20 and np.mean(agree) > 0.98
        for group in range(len(scene.groups)):
            drawn = {t.name.rsplit(" (", 1)[0]: t for t in playground.figure(scene, bits, group).data if t.name}
            mine = np.flatnonzero(scene.group == group)[: playground.SHOWN]
            assert len(drawn["promise breaks"].x) == 3 * (~student.holds[mine]).sum()
    assert (scene.rows(3).holds == scene.students[3].holds).all()


def test_slider_tells_its_numbers(on_store: Callable[[str], None], open_page: Callable[..., AppTest]) -> None:
    on_store("nothing")
    at = open_page("playground")
    assert not at.exception
    scene = playground.scene()
    for bits in (3, 8):
        at.select_slider(key="toy-bits").set_value(bits).run()
        said = " ".join(m.value for m in at.markdown)
        assert not at.exception and scene.sentence(bits) in said
        assert f"{(~scene.students[bits].holds).sum()} of {len(scene.before)} promises break" in said
