"""What Streamlit runs: the pages and how one gets from one to another."""

import streamlit as st

from dashboards.current import drawing
from dashboards.views import architecture, effects, frontier, runs, space

st.set_page_config(page_title="Residual network explorer", layout="wide")
home = st.Page(frontier.draw, title="Frontier", default=True)


def go_home() -> None:
    """The frontier page by its name: it answers at ``/``."""
    st.switch_page(home, query_params=st.query_params.to_dict())


page = st.navigation(
    [
        home,
        st.Page(go_home, title="Frontier", url_path="frontier", visibility="hidden"),
        st.Page(architecture.draw, title="Architecture", url_path="architecture"),
        st.Page(effects.draw, title="What matters", url_path="effects"),
        st.Page(space.draw, title="Space", url_path="space"),
        st.Page(runs.draw, title="Runs", url_path="runs"),
    ],
    position="top",
)
with drawing():
    page.run()
