"""The end of a trial: its result for the store, and its files."""
