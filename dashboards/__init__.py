"""Draws figures and pages from what ``explorer.store`` returns.

``app`` is what Streamlit runs and ``launch`` starts it. A page is a file of ``views``; what pages show is
made by pure functions: ``tables`` (records to rows), ``figures`` (rows to plotly figures), ``diagram``
(an architecture to graphviz text). ``reading`` alone touches the database, read only, and every text
that comes from it passes ``text.safe_text``.
"""
