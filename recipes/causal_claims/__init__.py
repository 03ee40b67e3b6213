"""What `recipes/claims.py` is made of: how much is measured, the measuring, the tables, the figures."""
