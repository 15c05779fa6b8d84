"""Latency of networks: measurement, environment and prediction."""
