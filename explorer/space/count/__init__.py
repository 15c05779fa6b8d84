"""Counting, ranking, unranking and walking the derivations of a grammar."""
