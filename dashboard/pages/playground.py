"""Playground: two dimensions, a slider of bits, and the arrows that break."""

from __future__ import annotations

import streamlit as st

from cfq_core.report import playground
from dashboard.lib import state, ui
from dashboard.lib.page import Page

TERMS = ("teacher", "student", "recourse", "promise margin κ", "VD, validity drop", "approval shift", "bit budget")
EVERY = 1.5  # seconds of a frame while it plays
MOST = 20  # draws


def body() -> None:
    """The sentence, the controls, the picture; the same whatever is selected, and without any study."""
    st.html("<style>.st-key-budget { display: none; }</style>")  # this page has a slider of its own
    head = st.container()
    line = st.container(horizontal=True, vertical_alignment="bottom", gap="large")
    draw = line.number_input("Draw", 1, MOST, 1, key="toy-draw", width=130, help="Another draw: other applicants, "
                             "another teacher. One draw is no rule.", **state.IN_LINK)  # fmt: skip
    with st.spinner("Teaching a small net, telling the refused what to do, quantizing it six times"):
        scene = playground.scene(int(draw) - 1)
    with line.container(width=330):
        bits = st.select_slider("Bits per weight", playground.BITS, value=3, key="toy-bits", **state.IN_LINK)
    group = line.segmented_control("Group", scene.groups, default=scene.groups[0], key="toy-group", **state.IN_LINK)
    of = scene.groups.index(group or scene.groups[0])
    playing = line.toggle("Play", key="toy-play", help="Every number of bits in turn.")
    with head:
        ui.head("Playground", scene.sentence(bits), TERMS)
    if playing:
        st.fragment(_frame, run_every=EVERY)(scene, of)
    else:
        _picture(scene, bits, of)
    _draws(int(draw))
    with ui.fold("Table and download", "toy-table") as opened:
        if opened:
            ui.frame(scene.rows(bits), "toy", f"playground-{bits}-bits")


def _frame(scene: playground.Scene, of: int) -> None:
    now = st.session_state.get("toy-frame", -1) + 1
    st.session_state["toy-frame"] = now
    bits = playground.BITS[now % len(playground.BITS)]
    st.markdown(ui.marked(scene.sentence(bits)))
    _picture(scene, bits, of)


def _picture(scene: playground.Scene, bits: int, of: int) -> None:
    st.plotly_chart(playground.figure(scene, bits, of), width="stretch", key="toy", alt=scene.alt(bits, of))
    st.caption(
        f"Made-up loans. An arrow is what FP32 told a refused person to do; dotted ones end where the model at {bits} "
        f"bits (shaded: approves) still refuses. At most {playground.SHOWN} arrows are drawn; the sentence counts all."
    )


def _draws(now: int) -> None:
    """What the draws seen so far broke, and their average: one draw teaches the wrong thing."""
    seen = st.session_state.setdefault("toy-seen", [])
    seen += [now] * (now not in seen)
    ui.section("Draws seen so far")
    st.dataframe(playground.draws([n - 1 for n in seen]), hide_index=True, key="toy-draws")
    st.caption("Promises broken of those made, at each number of bits. Change the draw above to see how much is luck.")


PAGE = Page(order=9, title="Playground", question="Show it", icon="toys", body=body)
PAGE.draw(__name__)
