"""The script that Streamlit runs: the pages and the navigation between them."""

import streamlit as st

from explorer.dashboard.warm_up import wait_for_imports

wait_for_imports()

from explorer.dashboard.session import timed  # noqa: E402

st.set_page_config(page_title="Residual network explorer", layout="wide")
home = st.Page("views/frontier.py", title="Frontier", url_path="home", default=True)


def go_home() -> None:
    """Make ``/frontier`` an address of the frontier page, which Streamlit serves at ``/``."""
    st.switch_page(home, query_params=st.query_params.to_dict())


pages = [
    home,
    st.Page("views/architecture.py", title="Architecture"),
    st.Page("views/effects.py", title="What matters", url_path="effects"),
    st.Page("views/space.py", title="Space"),
    st.Page("views/runs.py", title="Runs"),
]
other = st.Page(go_home, title="Frontier", url_path="frontier", visibility="hidden")
page = st.navigation([*pages, other], position="top")
with st.container(horizontal=True, gap="small", key="phone_navigation"):  # on a phone Streamlit hides its own
    for each in pages:
        st.page_link(each, label=each.title)
with timed():
    page.run()
