"""A sparse autoencoder beside other dictionaries of the same layer: units, a rotation, an untrained autoencoder."""
