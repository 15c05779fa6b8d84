"""Zero-cost scores of untrained networks, and their rank correlation with the costs."""
