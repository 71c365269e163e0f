"""Libraries that take a pool: with the same seed they find exactly what they find without one."""
