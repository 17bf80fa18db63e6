"""The dashboard: Streamlit pages over the engine and its store. Reads, draws and explains; computes nothing itself."""
