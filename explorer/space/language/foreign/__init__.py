"""What users of other tools write, and how the same is written in the space language: tables of words, and detectors."""
