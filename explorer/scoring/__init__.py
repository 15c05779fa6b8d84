"""What an untrained network promises: zero-cost scores, and how well they rank what training finds."""
