"""What a process does beside its loop: signals, leases, its row in the study, and requests to stop."""
