"""What a network costs: counted from the architecture, and checked against other counters."""
