"""The dashboard, the report and the atlas page: what they read, draw and serve.

- ``data/``: tables made from records and architectures. ``data.storage`` reads the database.
- ``figures/``: pure functions from a table to a plotly figure or to graphviz text.
- ``session`` and ``panels/``: the state of a browser session, and the parts that several pages show (Streamlit).
- The pages themselves are scripts that Streamlit runs by path; ``launch.pages_folder`` finds them.

Imports go down the list from the pages to ``data/``. Every text from a database passes ``text.safe_text``.
"""
