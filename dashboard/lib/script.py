"""What a session runs on every change: the navigation, the selection, then the page."""

import streamlit as st

from dashboard.lib import component, pages, startup, state, ui

st.set_page_config(
    page_title="cfq: does recourse survive quantization?",
    page_icon=str(startup.FAVICON),
    layout="wide",
)
st.html(f"<style>{component.page_style()}</style>")
page = st.navigation(pages.navigation(), position="top")
state.sidebar()
pages.beside(page)
ui.compared()
page.run()
