"""What everything else is built on: errors, files, registries, tensor types."""
