"""Dissections side by side: models, layers, data, training, directions."""
