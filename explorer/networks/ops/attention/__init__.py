"""Attention within overlapping windows, and by products with two trained matrices."""
