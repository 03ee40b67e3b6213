"""Experiments: one file, one question."""
