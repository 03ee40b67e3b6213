"""What causes what, as a page: one section a study. Shows answers, computes none."""
