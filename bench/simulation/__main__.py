"""Pools of many agents, simulated.

python -m bench.simulation --agents 10 1000 --tasks 100000 --disk nfs
python -m bench.simulation --json build/scale.json --figures docs/explanation/figures
python -m bench.simulation.dealing
"""

import argparse
import json
import time
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
    parser.add_argument("--read", type=Path, help="take the table from this file")
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
        rows: list[dict[str, Any]] = json.loads(options.read.read_text())
        for found in rows:
            print(line(found))
    else:
        rows = played(options)
    if options.figures:
        from bench.simulation.figures import draw

        draw(rows, options.figures)


if __name__ == "__main__":
    main()
