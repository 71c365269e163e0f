"""Slurm beside the pools: whether it answers, what a turn left in it, how often it was asked."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

GONE_WITHIN = 30.0  # seconds
ANSWERS_WITHIN = 30.0
LOOKS_EVERY = 0.3
PARTITIONS = ("sinfo", "-h", "-o", "%P")


def asked(*command: str) -> str:
    """What a command prints; nothing if it fails."""
    try:
        done = ran(*command)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=ANSWERS_WITHIN
    )


def trouble() -> str:
    """Why Slurm cannot be measured from here; nothing if it answers."""
    if shutil.which("sinfo") is None:
        return "there is no command sinfo on PATH"
    conf = os.environ.get("SLURM_CONF")
    if conf and not Path(conf).exists():  # sinfo would wait for it, a minute and longer
        return f"SLURM_CONF is {conf}, where nothing is"
    try:
        done = ran(*PARTITIONS)
    except subprocess.TimeoutExpired:
        return f"sinfo does not answer within {ANSWERS_WITHIN:g} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        return f"sinfo ended with {done.returncode}: {lines[-1]}"
    return "" if done.stdout.strip() else "sinfo tells of no partition"


def partitions() -> list[str]:
    """The default one bears a star."""
    return asked(*PARTITIONS).split()


def default_partition() -> str | None:
    """Some peers cannot leave it to Slurm."""
    for name in partitions():
        if name.endswith("*"):
            return name.removesuffix("*")
    return None


def version() -> str:
    return asked("sinfo", "--version").strip()


def jobs_below(directory: Path) -> list[str]:
    """Ids of this user's jobs that were submitted from there: those of one turn."""
    lines = asked("squeue", "--me", "-h", "-o", "%i %Z").splitlines()
    jobs = [line.split(maxsplit=1) for line in lines]
    return [job for job, place in jobs if Path(place).is_relative_to(directory)]


def clear(directory: Path) -> None:
    """Cancels what a turn left, and waits until the nodes are free for the next one."""
    deadline = time.monotonic() + GONE_WITHIN
    time.sleep(LOOKS_EVERY)
    while jobs := jobs_below(directory):
        asked("scancel", *jobs)
        if time.monotonic() > deadline:
            raise TimeoutError(f"Jobs are still there: scancel {' '.join(jobs)}")
        time.sleep(LOOKS_EVERY)


def remote_calls() -> dict[str, int]:
    """How often each kind of RPC was made to the controller so far, by anybody."""
    return {kind: int(count) for kind, count in RPC.findall(asked("sdiag"))}


RPC = re.compile(r"^\s+((?:REQUEST|MESSAGE)_\w+)\s+\(\s*\d+\)\s+count:(\d+)", re.MULTILINE)
