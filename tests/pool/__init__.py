"""What a user sees of a pool, on each backend: the same calls, exceptions and results."""
