"""See what each unit of a generative image model draws, prove it, and repair it."""
