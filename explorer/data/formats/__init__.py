"""The supported data sets and file layouts, one module each."""
