"""Photographs: their latents, and what edits of units do to them."""
