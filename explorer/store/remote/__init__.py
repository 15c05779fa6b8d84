"""The files of studies in an object store or another folder: where they are, and how they get there."""
