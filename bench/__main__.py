"""The command line of the suite: `python -m bench --help`."""

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import queue, report
from bench.adapter import PeerError
from bench.environments import NotInstalled, default_cache, python_of
from bench.figures import Figures
from bench.known import BACKENDS, PEERS, SLURM
from bench.measuring import measure_all
from bench.options import Parser, end_by_signals, new_file, number, refuse
from bench.seats import Seat
from bench.table import render
from bench.workloads import WORKLOADS, chosen, summary
from bench.workloads.base import Workload

SHORT = [
    *("cold:16,10000", "start:4", "again:0", "uneven-last:2", "short:1", "items:3000"),
    *("returned:16", "taken:16", "many:100000", "imap:100000"),
    *("files:1000", "calls:1000", "commands:5", "imports:3", "idle:0", "idle-driver:4"),
]
ROUNDS = 5
SHORT_ROUNDS = 2


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench", description="pypool beside others, on the same work in one run."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser(
        "run",
        help="measure, print a table",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"workloads, with the numbers they have unless told:\n{summary()}",
    )
    add_run(running)
    running.set_defaults(parser=running)
    reporting = commands.add_parser("report", help="write figures and plots into the documentation")
    reporting.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="what `run --json` has written"
    )
    reporting.add_argument(
        "--page", type=Path, default=report.PAGE, help="of the documentation of this checkout"
    )
    reporting.set_defaults(parser=reporting)
    return parser.parse_args(given)


def add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--backend", nargs="+", choices=BACKENDS, help="local, and slurm if one answers")
    add("--workloads", nargs="+", metavar="NAME[:NUMBER,...]", help="all, unless told; see below")
    add("--short", action="store_true", help="ten minutes: small workloads, two rounds")
    names = ", ".join(PEERS)
    add("--peers", nargs="+", choices=PEERS, metavar="NAME", help=f"{names}; all, unless told")
    count = number(1, whole=True)
    add("--rounds", type=count, metavar="N", help=f"turns of each peer: {ROUNDS}, unless told")
    add("--workers", type=count, default=4, metavar="N", help="of each pool: 4, unless told")
    add("--partition", help="of Slurm; its default one, unless told")
    add("--patience", type=number(1), default=120.0, help="seconds that a map may take: 120")
    add("--cache", type=Path, default=default_cache(), help="holds the peers' environments")
    add("--json", type=new_file, metavar="FILE", help="where all raw figures go")


def backends(asked: list[str] | None, partition: str | None) -> list[str]:
    """Those that were asked for, else those that are there.

    Raises
    ------
    ValueError
        If one that was asked for does not answer, or has no such partition.
    """
    here = [backend for backend in BACKENDS if backend in (asked or BACKENDS)]
    if SLURM not in here:
        return here
    trouble = queue.trouble()
    if not trouble and partition:
        there = [name.removesuffix("*") for name in queue.partitions()]
        if partition not in there:
            trouble = f"there is no partition {partition}; there are {', '.join(there)}"
    if trouble and (asked or partition):
        raise ValueError(f"Slurm cannot be measured: {trouble}. --backend local needs none")
    if trouble:
        say(f"Slurm is left out: {trouble}")
    return [backend for backend in here if backend != SLURM or not trouble]


def seats_on(backend: str, options: argparse.Namespace, figures: Figures) -> list[Seat]:
    """A seat for each peer that answers; for others a note."""
    partition = options.partition or (queue.default_partition() if backend == SLURM else None)
    seats = []
    for name in options.peers or PEERS:
        peer = PEERS[name]
        if backend not in peer.backends:
            continue
        try:
            python = python_of(peer, options.cache)
            seat = Seat(peer, python, backend, options.workers, partition, options.patience)
            with seat.open() as turn:
                figures.versions[name] = turn.adapter.ask("version")["version"]
            seats.append(seat)
        except (NotInstalled, PeerError, OSError) as error:
            figures.note(f"{name}: {error}")
    return seats


def about(options: argparse.Namespace, on: list[str]) -> dict[str, str]:
    """What a reader of the figures has to know."""
    said = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.system()} "
        f"{platform.release()}, load {os.getloadavg()[0]:.1f} at the start",
        "Python": sys.version.split()[0],
        "run": f"{options.workers} workers, {options.rounds} rounds",
    }
    return said | ({"Slurm": queue.version()} if SLURM in on else {})


def run(options: argparse.Namespace) -> None:
    words = options.workloads or (SHORT if options.short else list(WORKLOADS))
    try:
        workloads = chosen(words)
        on = backends(options.backend, options.partition)
    except ValueError as error:
        refuse(options.parser, error)
    options.rounds = options.rounds or (SHORT_ROUNDS if options.short else ROUNDS)
    figures = Figures(about(options, on))
    try:
        measure(workloads, on, options, figures)
    except SystemExit:
        figures.note("all that would have followed: it was ended before")
        raise
    finally:  # hours may have gone into these
        save(figures, options.json)
        print(render(figures), end="", flush=True)
    if not figures.series:
        refuse(options.parser, "nothing was measured: none of these peers does this work there")


def measure(
    workloads: list[Workload], on: list[str], options: argparse.Namespace, figures: Figures
) -> None:
    """All of them on each backend; what there is so far is kept."""
    for backend in on:
        seats = seats_on(backend, options, figures)
        for workload in workloads:
            measure_all([workload], seats, options.rounds, figures, say)
            save(figures, options.json)


def save(figures: Figures, file: Path | None) -> None:
    """What cannot be written can still be printed."""
    try:
        if file is not None:
            figures.save(file)
    except OSError as error:
        say(f"{file} was not written: {error}")


def rewrite(options: argparse.Namespace) -> None:
    """The page, or nothing at all."""
    try:
        report.write(options.files, options.page)
    except ImportError as error:
        refuse(options.parser, f"{error}: pip install -e '.[bench]' brings what draws the plots")
    except (OSError, ValueError) as error:
        refuse(options.parser, f"{error}. The page and its plots are as they were")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    end_by_signals()
    options = arguments()
    if options.command == "report":
        rewrite(options)
    else:
        run(options)


if __name__ == "__main__":
    main()
