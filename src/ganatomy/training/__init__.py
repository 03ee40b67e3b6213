"""Looking at a network while somebody else trains it."""

from ganatomy.training.monitor import Monitor

__all__ = ["Monitor"]
