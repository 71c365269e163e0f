"""The first figures: a cold map, further maps of 16, files and scheduler commands.

    python -m bench.first_map --backend slurm --workers 4

Everything is measured in one run beside multiprocessing.Pool, so the ratios mean something where
the seconds do not. Scheduler commands are counted by wrappers put in front of them.
"""

import argparse
import multiprocessing
import os
import shutil
import stat
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pypool
from pypool.pool import Pool

ALL_THERE = 2.0
"""Seconds after which the last elements have started too."""

COMMANDS = ("sbatch", "squeue", "scancel", "sacct", "scontrol")


def no_op(item: int) -> int:
    return item


def count_commands(directory: Path) -> Path:
    """Puts wrappers before the scheduler's commands on PATH; each call adds a line to a file."""
    calls = directory / "calls"
    calls.touch()
    for name in COMMANDS:
        real = shutil.which(name)
        if real is not None:
            wrapper = directory / name
            wrapper.write_text(f'#!/bin/sh\necho {name} >> "{calls}"\nexec {real} "$@"\n')
            wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    os.environ["PATH"] = f"{directory}:{os.environ['PATH']}"
    return calls


def files_below(directory: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(directory))


def peak_files(directory: Path, work: Callable[[], object]) -> int:
    """The largest number of files seen below the directory while `work` runs."""
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, files_below(directory))

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    time.sleep(ALL_THERE)
    done.set()
    watcher.join()
    return max(peak, files_below(directory))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def further_maps(pools: dict[str, Callable[..., object]], count: int) -> dict[str, list[float]]:
    """Milliseconds of maps of 16, the pools in turn."""
    times: dict[str, list[float]] = {name: [] for name in pools}
    for _ in range(count):
        for name, mapping in pools.items():
            start = time.perf_counter()
            mapping(no_op, range(16))
            times[name].append(1000 * (time.perf_counter() - start))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="A cold map, further maps, files, commands.")
    parser.add_argument("--backend", choices=["slurm", "shell", "local"], default="slurm")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--maps", type=int, default=2000)
    options = parser.parse_args()
    work_dir = Path(tempfile.mkdtemp(prefix="pypool-bench-", dir=Path.home()))
    calls = count_commands(Path(tempfile.mkdtemp(prefix="pypool-commands-")))
    try:
        print(
            f"pypool {pypool.__version__}, Python {sys.version.split()[0]}, "
            f"{options.backend}, {options.workers} workers"
        )
        measure_cold(options, work_dir, calls)
        measure_files_and_further_maps(options, work_dir)
    finally:
        shutil.rmtree(work_dir)
        shutil.rmtree(calls.parent)


def make(options: argparse.Namespace, work_dir: Path) -> Pool:
    if options.backend == "local":
        return pypool.local.Pool(options.workers)
    module = pypool.slurm if options.backend == "slurm" else pypool.shell
    return module.Pool(options.workers, work_dir=work_dir)


def measure_cold(options: argparse.Namespace, work_dir: Path, calls: Path) -> None:
    with make(options, work_dir) as pool:
        cold = seconds(lambda: pool.map(no_op, range(10_000)))
        again = seconds(lambda: pool.map(no_op, range(10_000)))
        asked = Counter(calls.read_text().split())
    print(f"10,000 no-ops from call to results: cold {cold:.3f} s, again {again:.3f} s")
    print(f"scheduler commands for both: {dict(asked)}; squeue: {asked['squeue']}")


def measure_files_and_further_maps(options: argparse.Namespace, work_dir: Path) -> None:
    with make(options, work_dir / "few") as pool:
        few = peak_files(work_dir / "few", lambda: pool.map(no_op, range(100)))
    with make(options, work_dir / "many") as pool:
        many = peak_files(work_dir / "many", lambda: pool.map(no_op, range(10_000)))
        for _ in range(options.maps):
            pool.map(no_op, range(16))
        later = files_below(work_dir / "many")
        print(f"files at the peak: 100 tasks {few}, 10,000 tasks {many}; ", end="")
        print(f"after {options.maps} further maps of 16: {later}")
        with multiprocessing.Pool(options.workers) as stdlib:
            stdlib.map(no_op, range(100))
            times = further_maps({"pypool": pool.map, "multiprocessing": stdlib.map}, 500)
    for name, each in times.items():
        print(
            f"a further map of 16, {name}: median {statistics.median(each):.2f} ms, "
            f"p90 {statistics.quantiles(each, n=10)[-1]:.2f}, "
            f"minimum {min(each):.2f}, maximum {max(each):.2f}"
        )
    ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
    print(f"pypool over multiprocessing, median of pairs: {ratio:.2f}")


if __name__ == "__main__":
    main()
