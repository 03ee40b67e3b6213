"""The parts of train_generator.py."""
