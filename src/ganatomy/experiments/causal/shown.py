"""What a notebook or a prompt shows of a causal study; the report is asked only when it is to be shown."""

from typing import Any


class Shown:
    """A result that a notebook draws: its question, its answer, and the first pictures or curves of its page."""

    spec: Any

    @property
    def said(self) -> dict[str, Any]:
        """What is to be said beside the tables, by name."""
        return {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.spec.generator}, {self.spec.layer}, {self.spec.images} pictures>"

    def _repr_html_(self) -> str:
        from ganatomy.report.causal.notebook import (
            notebook_html,  # the other door that swings back: docs/architecture.md
        )

        return notebook_html(self)
