"""Settings that describe themselves, their kinds, and settings files."""
