"""How do units come to draw what they draw? One training, dissected at several moments (S-6.6, Figure 18)."""
