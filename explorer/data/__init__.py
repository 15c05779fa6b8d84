"""Data sets: where they lie, how they are read, and which images train, validate and test."""
