"""The data sets and file layouts that can be read, one file each."""
