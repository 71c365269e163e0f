"""A storm of random faults over a map on a Slurm of its own: `make chaos`."""
