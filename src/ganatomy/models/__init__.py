"""Generators, segmenters, feature networks, and their weights."""
