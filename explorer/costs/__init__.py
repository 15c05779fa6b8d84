"""The costs of networks, counted from the architecture and checked against other counters."""
