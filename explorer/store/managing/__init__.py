"""Rename, delete, annotate, copy and merge the studies of storages."""
