"""Results as a page, a card, a figure: shows answers, computes none."""

from ganatomy.report.causal.page import write_causal_report
from ganatomy.report.compare.page import write_comparison
from ganatomy.report.html import write_report
from ganatomy.report.monitor.page import write_monitor_report

__all__ = ["write_causal_report", "write_comparison", "write_monitor_report", "write_report"]
