"""The space language: YAML and its expressions, the space they make, and its derivations."""
