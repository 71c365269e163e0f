"""A Slurm of its own for each storm."""

from faults.conftest import cluster, start_sge, start_slurm

__all__ = ["cluster", "start_sge", "start_slurm"]  # fixtures
