"""The parts of train_likelihood.py."""
