"""The conditions of a space, evaluated while its choices are made."""
