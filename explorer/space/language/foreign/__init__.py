"""What users of other tools write, and how the language writes it: tables of words, and detectors of foreign signs."""
