"""Results as a page, a card, a figure: shows answers, computes none, and knows no experiment."""
