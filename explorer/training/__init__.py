"""Training of one network: recipe, batches, training step and training loop."""
