"""The web app: paint with units, browse them, annotate them. ``create_app`` returns it as a value."""

from ganatomy.web.app import create_app
from ganatomy.web.guard import Limits
from ganatomy.web.painter import Painter

__all__ = ["Limits", "Painter", "create_app"]
