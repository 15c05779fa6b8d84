"""Views of a study: checks of what is asked, its display in notebooks, and the methods that mirror commands."""
