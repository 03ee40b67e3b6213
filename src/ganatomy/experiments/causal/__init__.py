"""Which units make an object appear or vanish, and where the model accepts it (3.2, 4.3, 4.4, S-6.4, S-6.5)."""
