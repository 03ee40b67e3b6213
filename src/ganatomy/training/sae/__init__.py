"""Sparse autoencoders of a layer: trained on the places of its images, which are drawn as it learns."""
