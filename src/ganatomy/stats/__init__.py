"""Mergeable statistics; pure, and knowing nothing of generators."""
