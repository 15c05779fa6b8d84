"""Times a network, and says which machine and versions it was."""
