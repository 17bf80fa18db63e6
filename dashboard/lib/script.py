"""What a session runs on every change: the navigation, the selection, then the page."""

import streamlit as st

from cfq_core.base.errors import BadInput
from dashboard.lib import component, pages, startup, state, tour, ui, views, workspace

st.set_page_config(
    page_title="cfq: does recourse survive quantization?",
    page_icon=str(startup.FAVICON),
    layout="wide",
)
st.html(f"<style>{component.page_style()}</style>")
page = st.navigation(pages.navigation(), position="top")
try:
    workspace.folder()
except BadInput as refused:
    ui.failed(refused.line())
    st.stop()
startup.freeze()
state.sidebar()
with st.sidebar:
    if sel := state.selected():
        tour.button()
        with st.popover("Saved views and notes", icon=":material/bookmark:", width="stretch"):
            views.panel(sel)
tour.show()
pages.beside(page)
ui.compared()
page.run()
