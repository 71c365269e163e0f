"""Pools of many agents, simulated.

python -m bench.simulation --agents 10 1000 --tasks 100000 --disk nfs
python -m bench.simulation --json build/scale.json --figures docs/explanation/figures
python -m bench.simulation.dealing
"""

import argparse
import json
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.options import Parser, end_by_signals, new_file, number, refuse
from bench.simulation.disks import KINDS
from bench.simulation.scenarios import SPREAD, Scenario, row

HEAD = (
    "agents   tasks   each s disk   rules  makespan     over fcfs  idle  of fcfs  opens/s  driver  "
    "in 10 s  shares  asked  played in"
)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m bench.simulation", description="Pools of many agents, simulated."
    )
    add, count = parser.add_argument, number(1, whole=True)
    add("--agents", type=count, nargs="+", metavar="N", default=[10, 100, 1000, 10_000])
    add("--tasks", type=count, nargs="+", metavar="N", default=[10**3, 10**4, 10**5, 10**6])
    add("--disk", nargs="+", choices=KINDS, default=list(KINDS))
    work = "seconds that each slot works"
    add("--work", type=number(0.001), nargs="+", metavar="S", default=[3600.0], help=work)
    add("--slots", type=count, default=1, metavar="N", help="workers of an agent")
    add("--spread", type=number(0), default=SPREAD, metavar="X", help="of the tasks' lengths")
    add("--as-few", action="store_true", help="rules of few agents, too")
    add("--seed", type=int, default=1)
    add("--json", type=new_file, metavar="FILE", help="write the table into this file, too")
    add("--read", type=Path, nargs="+", metavar="FILE", help="take the table from these files")
    add("--markdown", action="store_true", help="print the table for a page")
    add("--figures", type=Path, metavar="DIRECTORY", help="draw into this directory")
    options = parser.parse_args(given)
    if options.figures and find_spec("matplotlib") is None:
        parser.error("--figures needs matplotlib: pip install -e '.[bench]'")
    try:
        options.rows = None if options.read is None else read(options.read)
    except (OSError, ValueError) as error:
        refuse(parser, error)
    if options.rows is None and not scenarios(options):
        least = min(options.agents) * options.slots
        parser.error(f"each slot needs a task: --tasks must be {least} at least")
    return options


def read(files: list[Path]) -> list[dict[str, Any]]:
    """The rows of these files.

    Raises
    ------
    ValueError
        If another program has written one.
    """
    rows = []
    for file in files:
        try:
            found = json.loads(file.read_text())
            for row in found:
                line(row)
        except (LookupError, TypeError, ValueError):
            raise ValueError(f"{file} holds no rows that --json has written") from None
        rows += found
    order = ("agents", "tasks", "work", "disk")
    return sorted(rows, key=lambda row: [row[name] for name in order])


def scenarios(options: argparse.Namespace) -> list[Scenario]:
    """All of them; who has more agents than tasks could do with fewer."""
    return [
        Scenario(
            agents, tasks, disk, work, options.spread, options.slots, as_few, seed=options.seed
        )
        for agents in options.agents
        for tasks in options.tasks
        for disk in options.disk
        for work in options.work
        for as_few in ([True, False] if options.as_few and agents > 64 else [False])
        if tasks >= agents * options.slots
    ]


def line(found: dict[str, Any]) -> str:
    rules = "few" if found["as_few"] else "usual"
    return (
        f"{found['agents']:>6} {found['tasks']:>7} {found['mean']:>8.3f} {found['disk']:<6} "
        f"{rules:<5} {found['makespan']:>9.1f} {found['ratio']:>10.3f} {found['idle']:>8.3f} "
        f"{found['ideal_idle']:>7.3f} {found['opens']:>8.0f} {found['opens_of_driver']:>7.0f} "
        f"{found['most_opens']:>8.0f} {found['shares']:>7} {found['asked_back']:>6} "
        f"{found['seconds']:>8.1f} s"
    )


def page(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The table in Markdown."""
    yield (
        "| agents | tasks | seconds each | disk | rules of | makespan, s "
        "| over first-come-first-served | idle, % | of that first-come-first-served "
        "| opens/s | of that the program | most in 10 s |"
    )
    yield "|--:" * 3 + "|---" * 2 + "|--:" * 7 + "|"
    for found in rows:
        yield (
            f"| {found['agents']:,} | {found['tasks']:,} | {found['mean']:.3g} | {found['disk']} "
            f"| {'few' if found['as_few'] else 'today'} | {found['makespan']:,.0f} "
            f"| {found['ratio']:.3f} | {100 * found['idle']:.1f} "
            f"| {100 * found['ideal_idle']:.1f} | {found['opens']:,.0f} "
            f"| {found['opens_of_driver']:,.0f} | {found['most_opens']:,.0f} |"
        )


def played(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for scenario in scenarios(options):
        began = time.perf_counter()
        found = row(scenario, scenario.play())
        found["seconds"] = time.perf_counter() - began
        print(line(found), flush=True)
        rows.append(found)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))
    return rows


def main() -> None:
    end_by_signals()
    options = arguments()
    print(HEAD)
    if options.rows is None:
        rows = played(options)
    else:
        rows = options.rows
        for found in rows:
            print(line(found))
    if options.markdown:
        print("\n".join(page(rows)))
    if options.figures:
        from bench.simulation.figures import draw

        draw(rows, options.figures)


if __name__ == "__main__":
    main()
