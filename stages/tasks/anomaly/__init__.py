"""Anomaly detection: how new a sample is to a network that has seen normal ones only, and where."""
