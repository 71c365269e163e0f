"""Pools of many agents, simulated.

python -m bench.simulation --agents 10 1000 --tasks 100000 --disk nfs
python -m bench.simulation --json build/scale.json --figures docs/explanation/figures
python -m bench.simulation.dealing
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.simulation.disks import KINDS
from bench.simulation.scenarios import SPREAD, Scenario, row

HEAD = (
    "agents   tasks   each s disk   rules  makespan     over fcfs  idle  of fcfs  opens/s  driver  "
    "in 10 s  shares  asked  played in"
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pools of many agents, simulated.")
    parser.add_argument("--agents", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--tasks", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--disk", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument(
        "--work", type=float, nargs="+", default=[3600.0], help="seconds that each slot works"
    )
    parser.add_argument("--slots", type=int, default=1, help="workers of an agent")
    parser.add_argument("--spread", type=float, default=SPREAD, help="of the tasks' lengths")
    parser.add_argument("--as-few", action="store_true", help="rules of few agents, too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the table into this file, too")
    parser.add_argument("--read", type=Path, nargs="+", help="take the table from these files")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--figures", type=Path, help="draw into this directory")
    return parser.parse_args()


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
    options = arguments()
    print(HEAD)
    if options.read:
        rows = [row for file in options.read for row in json.loads(file.read_text())]
        rows.sort(key=lambda each: (each["agents"], each["tasks"], each["work"], each["disk"]))
        for found in rows:
            print(line(found))
    else:
        rows = played(options)
    if options.markdown:
        print("\n".join(page(rows)))
    if options.figures:
        from bench.simulation.figures import draw

        draw(rows, options.figures)


if __name__ == "__main__":
    main()
