"""What a notebook shows of a causal study, asked of the report when it is to be shown and not before."""


class Shown:
    """A result that a notebook draws: its question, its answer, and the first pictures or curves of its page."""

    def _repr_html_(self) -> str:
        from ganatomy.report.causal.notebook import (
            notebook_html,  # the other door that swings back: docs/architecture.md
        )

        return notebook_html(self)
