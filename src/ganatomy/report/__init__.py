"""Results as a page, a card, a figure: shows answers, computes none."""

from ganatomy.report.html import write_report

__all__ = ["write_report"]
