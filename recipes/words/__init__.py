"""The parts of train_words.py."""
