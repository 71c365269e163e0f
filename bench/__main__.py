"""The command line of the suite: `python -m bench --help`."""

import argparse
import os
import platform
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import queue, report
from bench.adapter import PeerError
from bench.environments import NotInstalled, default_cache, python_of
from bench.figures import Figures
from bench.known import BACKENDS, PEERS, SLURM
from bench.measuring import measure_all
from bench.options import Parser, refuse
from bench.seats import Seat
from bench.table import render
from bench.workloads import WORKLOADS, chosen, summary

SHORT = [
    *("cold:16,10000", "again:0", "uneven-last:2", "returned:16", "taken:16", "many:100000"),
    *("files:1000", "calls:1000", "commands:5", "imports:3", "idle:0"),
]
ROUNDS = 5
SHORT_ROUNDS = 2


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench", description="pypool beside others, on the same work in one run."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_run(
        commands.add_parser(
            "run",
            help="measure, print a table",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=f"workloads, with the numbers they have unless told:\n{summary()}",
        )
    )
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
    add("--rounds", type=int, help=f"turns of each peer: {ROUNDS}, unless told")
    add("--workers", type=int, default=4)
    add("--partition", help="of Slurm; its default one, unless told")
    add("--patience", type=float, default=120.0, help="seconds that a map may take")
    add("--cache", type=Path, default=default_cache(), help="holds the peers' environments")
    add("--json", type=Path, metavar="FILE", help="where all raw figures go")


def backends(asked: list[str] | None) -> list[str]:
    """Those that were asked for, else those that are there."""
    return asked or [backend for backend in BACKENDS if backend != SLURM or queue.answers()]


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


def about(options: argparse.Namespace) -> dict[str, str]:
    """What a reader of the figures has to know."""
    said = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.system()} "
        f"{platform.release()}, load {os.getloadavg()[0]:.1f} at the start",
        "Python": sys.version.split()[0],
        "run": f"{options.workers} workers, {options.rounds} rounds",
    }
    slurm = queue.version() if queue.answers() else ""
    return said | ({"Slurm": slurm} if slurm else {})


def run(options: argparse.Namespace) -> None:
    words = options.workloads or (SHORT if options.short else list(WORKLOADS))
    try:
        workloads = chosen(words)
    except ValueError as error:
        raise SystemExit(f"python -m bench: {error}") from None
    options.rounds = options.rounds or (SHORT_ROUNDS if options.short else ROUNDS)
    figures = Figures(about(options))
    for backend in backends(options.backend):
        seats = seats_on(backend, options, figures)
        for workload in workloads:
            measure_all([workload], seats, options.rounds, figures, say)
            if options.json:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                figures.save(options.json)
    print(render(figures), end="")


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


def leave(number: int, _: object) -> None:
    """As Ctrl-C does: the turn at work is cleaned up."""
    raise SystemExit(128 + number)


def main() -> None:
    signal.signal(signal.SIGTERM, leave)
    options = arguments()
    if options.command == "report":
        rewrite(options)
    else:
        run(options)


if __name__ == "__main__":
    main()
