"""The costs of many networks of a space at once."""
