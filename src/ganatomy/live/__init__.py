"""Looking at a network while somebody else trains it."""

from ganatomy.live.monitor import Monitor

__all__ = ["Monitor"]
