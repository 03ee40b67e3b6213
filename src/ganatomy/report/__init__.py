"""Results as a page, a card, a figure: shows answers, computes none."""

from ganatomy.report.causal.page import write_causal_report
from ganatomy.report.html import write_report

__all__ = ["write_causal_report", "write_report"]
