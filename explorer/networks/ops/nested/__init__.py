"""Ops that hold other ops: forks, and the tensors that taps keep."""
