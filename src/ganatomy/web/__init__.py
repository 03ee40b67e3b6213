"""The web app: paint with units, browse them, annotate them. ``create_app`` returns it as a value."""

from ganatomy.web.app import create_app
from ganatomy.web.paint_sessions import Painter
from ganatomy.web.security import Limits

__all__ = ["Limits", "Painter", "create_app"]
