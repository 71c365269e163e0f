"""Look for galaxies and stars in the runs of the pretend telescope, on a pool of your choice.

Observes, makes the jobs, maps them on the pool, merges the catalogues, and draws a picture.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import Counter
from pathlib import Path
from typing import Any

import telescope

POOLS = ("auto", "multiprocessing", "serial", "local", "slurm", "sge", "shell")


def make_pool(name: str, processes: int | None) -> Any:
    """Return a pool with the interface of `multiprocessing.Pool`.

    Parameters
    ----------
    name : str
        One of `POOLS`. 'auto' takes what pypool finds on this machine.
    processes : int, optional
        Number of workers; None leaves it to the pool.
    """
    if name == "multiprocessing":
        return multiprocessing.Pool(processes)
    import pypool

    if name == "auto":
        return pypool.Pool(processes)
    return getattr(pypool, name).Pool(processes)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pool", choices=POOLS, default="auto", help="default: %(default)s")
    parser.add_argument(
        "--processes", type=int, metavar="N", help="number of workers (default: the pool's own)"
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("telescope-demo"),
        metavar="DIR",
        help="folder for runs and catalogues, about 140 MB. On a cluster all machines must see it, "
        "hence it is not in the temporary folder (default: ./%(default)s)",
    )
    parser.add_argument(
        "--picture", type=Path, metavar="PATH", help="PNG to write (default: field.png in DIR)"
    )
    return parser.parse_args()


def main() -> None:
    """Run the demo."""
    arguments = parse_arguments()
    work_dir: Path = arguments.work_dir.resolve()
    picture: Path = (arguments.picture or work_dir / "field.png").resolve()
    start = time.monotonic()

    def report(text: str) -> None:
        print(f"[{time.monotonic() - start:5.1f} s] {text}", flush=True)

    with make_pool(arguments.pool, arguments.processes) as pool:
        report(f"pool: {pool!r}")
        report(f"observing, the runs go to {work_dir}")
        telescope.init(work_dir=work_dir)
        jobs = telescope.make_jobs(work_dir=work_dir)
        report(f"looking for sources in {len(jobs)} runs")
        return_codes = pool.map(telescope.run_job, jobs)
    summary = ", ".join(f"{n} x {code}" for code, n in sorted(Counter(return_codes).items()))
    report(f"return codes: {summary} (0 is success)")
    report("merging the catalogues and drawing")
    sources = telescope.merge_catalogues(work_dir=work_dir)
    picture.parent.mkdir(parents=True, exist_ok=True)
    telescope.draw(work_dir=work_dir, path=picture)
    report("done")
    print(f"sources: {len(sources)}")
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
