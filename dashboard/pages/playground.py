"""Playground: two dimensions, a slider of bits, and the arrows that break."""

from __future__ import annotations

import streamlit as st

from cfq_core.report import playground
from dashboard.lib import state, ui
from dashboard.lib.page import Page

TERMS = ("teacher", "student", "recourse", "promise margin κ", "VD, validity drop", "approval shift", "bit budget")


def body() -> None:
    """The sentence, the slider, the picture; the same whatever is selected, and without any study."""
    with st.spinner("Teaching a small net, telling the refused what to do, quantizing it six times"):
        scene = playground.scene()
    top = st.container()
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    bits = left.select_slider("Bits per weight", playground.BITS, value=3, key="toy-bits", **state.IN_LINK)
    group = right.segmented_control("Group", scene.groups, default=scene.groups[0], key="toy-group", **state.IN_LINK)
    group = group or scene.groups[0]
    with top:
        ui.head("Playground", scene.sentence(bits), TERMS)
    of = scene.groups.index(group)
    st.plotly_chart(playground.figure(scene, bits, of), width="stretch", key="toy", alt=scene.alt(bits, of))
    st.caption(
        f"Made-up loans, applicants of the group “{group}”. Each arrow is what FP32 told a refused person to do: it "
        f"ends at least {playground.KAPPA:g} logits inside its dashed boundary. Shaded: the student at {bits} bits "
        f"approves. Dotted arrows end where it still refuses. At most {playground.SHOWN} arrows are drawn; the "
        "sentence counts everybody. One teacher, rounded without retraining: one draw, for teaching."
    )
    rows = scene.rows(bits)
    with st.expander("Table and download", icon=":material/table:", on_change="rerun", key="toy-table") as opened:
        if opened.open:
            ui.frame(rows, "toy", f"playground-{bits}-bits")


PAGE = Page(order=9, title="Playground", question="Show it", icon="toys", body=body)
PAGE.draw(__name__)
