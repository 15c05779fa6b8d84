"""What users add by name: ops, data sets, samplers, stopping rules, recipes, costs and trackers."""
