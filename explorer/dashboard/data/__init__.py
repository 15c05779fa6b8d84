"""Tables for the pages: made from records and architectures, without Streamlit."""
