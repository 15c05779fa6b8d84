"""Data sets: finding, downloading and decoding them, and splitting them into train, validation and test."""
