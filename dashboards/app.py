"""The script that Streamlit runs: the pages and the navigation between them."""

import streamlit as st

from explorer.dashboard.session import timed

st.set_page_config(page_title="Residual network explorer", layout="wide")
home = st.Page("views/frontier.py", title="Frontier", url_path="home", default=True)


def go_home() -> None:
    """Make ``/frontier`` an address of the frontier page, which Streamlit serves at ``/``."""
    st.switch_page(home, query_params=st.query_params.to_dict())


page = st.navigation(
    [
        home,
        st.Page(go_home, title="Frontier", url_path="frontier", visibility="hidden"),
        st.Page("views/architecture.py", title="Architecture"),
        st.Page("views/effects.py", title="What matters", url_path="effects"),
        st.Page("views/space.py", title="Space"),
        st.Page("views/runs.py", title="Runs"),
    ],
    position="top",
)
with timed():
    page.run()
