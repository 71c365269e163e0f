"""Adapters: what a scheduler is asked, and what its answers are taken for."""
