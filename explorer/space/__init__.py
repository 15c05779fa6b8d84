"""Search spaces: the language of space files, the grammar that a file describes, its derivations and their networks."""
