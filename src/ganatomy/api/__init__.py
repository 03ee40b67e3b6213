"""The public functions: one an experiment, with typed keywords. Importing them loads no model and no torch."""
