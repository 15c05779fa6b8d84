"""Architecture to torch: the built module and its initialisation."""
