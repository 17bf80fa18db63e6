"""What a session runs on every change: the navigation, the selection, then the page."""

import streamlit as st

from dashboard.lib import pages, startup, state

st.set_page_config(page_title="cfq: does recourse survive quantization?", page_icon=str(startup.FAVICON), layout="wide")
page = st.navigation(pages.navigation(), position="top")
state.sidebar()
page.run()
