"""Trackers of experiments: each sends the events of a search to a tool that shows them."""
