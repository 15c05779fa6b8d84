"""Merge studies, and exchange them with Optuna and trackers of experiments."""
