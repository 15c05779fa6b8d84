"""Export of a network as a self-contained folder: architecture, weights, code and model card."""
