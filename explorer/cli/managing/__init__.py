"""The commands that manage studies, and the formats in which their tables leave the explorer."""
