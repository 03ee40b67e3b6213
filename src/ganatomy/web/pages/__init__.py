"""Pages: one a file, each with the routes that it needs."""
