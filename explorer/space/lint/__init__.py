"""Warnings of a space, and spellings whose meaning has changed."""
