"""Training one network: the recipe as a value, the batches, the step and the loop."""
