"""What `recipes/words_claims.py` is made of: the counts, the measuring, the tables of the page."""
