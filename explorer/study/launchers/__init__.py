"""Start ``explorer worker`` processes on other machines, through the scheduler of a cluster."""
