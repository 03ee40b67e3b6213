"""Comparisons as a page, tables and figures."""
