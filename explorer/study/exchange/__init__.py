"""Merge studies, and exchange them with Optuna."""
