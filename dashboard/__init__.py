"""The Streamlit dashboard stands here."""
