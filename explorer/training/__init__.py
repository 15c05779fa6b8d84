"""Training one network: the data in memory, the recipe as a value, and the loop."""
