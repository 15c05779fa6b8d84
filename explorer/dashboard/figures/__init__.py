"""Figures: pure functions of tables, without Streamlit and without a database."""
