"""What reads files that others made: ``seeds()`` gives whole ones, ``read(root)`` reads what became of one."""
