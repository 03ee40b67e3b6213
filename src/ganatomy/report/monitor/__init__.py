"""One training on one page: how units come to draw what they draw (Figure 18)."""
