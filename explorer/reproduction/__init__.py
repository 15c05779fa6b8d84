"""Reproductions of published tables: a study trains a paper's cases, and its results stand beside the paper's."""
