"""Everything around a pool breaks, on real schedulers: what the user sees, and how soon.

One test for each failure; `docs/explanation/failures.md` has a row for each. What needs power
over daemons uses a Slurm or a Grid Engine of the test's own, see `private`.
"""
