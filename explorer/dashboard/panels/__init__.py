"""Parts that several pages show, drawn with Streamlit."""
