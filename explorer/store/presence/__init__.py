"""The processes that work on a study, and requests that they stop."""
