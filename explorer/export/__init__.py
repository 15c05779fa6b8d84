"""A chosen architecture as a folder that stands on its own: spec, weights, code, model card."""
