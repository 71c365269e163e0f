"""Options of a pool: what each means, what is accepted for it, and what is said of the rest.

Where they come from (the program, the environment, files) is in `config`.
"""

import operator
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal, SupportsIndex

from pypool.units import SIZES, parse_memory, parse_time

DEFAULT_PROCESSES = 64
DEFAULT_WORK_DIR = "~/.pypool"

SHIPPED = "pypool/"
"""What the names of templates begin with that come with pypool, whatever is found elsewhere."""

LEFT_OVER = 0.1
"""The part of the workers that may be missing so that elements can be as large as allowed."""

Keep = Literal["failed", "all", "none"]
OnChange = Literal["say", "refuse"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_OF_SCHEDULERS = ("SLURM", "SBATCH_", "SQUEUE_", "SCANCEL_", "SRUN_", "SGE_")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIRECTIVE = re.compile(r"#(?:SBATCH|PBS|BSUB|\$)")
"""How lines begin that schedulers read in a job script: some read all of it, or other's words."""

SHORTEST_SILENCE = 20.0
"""Seconds: somewhat more than lie between two words of the program to its workers."""

_BASH_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """What a pool was asked for.

    Attributes
    ----------
    processes : int
        Workers at most.
    work_dir : str
        Absolute; compute nodes see it under the same name.
    workers_per_element : int
        Workers in one array element, at most; see `workers`.
    name : str or None
        Names the jobs, and a run that can be resumed.
    queue : str or None
        The scheduler's queue or partition.
    time, max_time : float or None
        Seconds that an array element lives; those that it may live if a task needed longer.
    memory, max_memory : int or None
        Bytes per worker; those that it may have if a task needed more.
    cpus, gpus : int or None
        CPUs and GPUs per worker.
    account : str or None
        Who pays: Slurm's account, Grid Engine's project.
    parallel_environment : str or None
        Grid Engine's, for several slots on one host; None: one that is found.
    directives : tuple of str
        Further options in the scheduler's own words, for the header of the job script.
    setup, teardown : tuple of str
        Lines of shell before the agent starts and after it has ended.
    python : str
        The interpreter on the nodes: a path, or a command that `setup` provides.
    env : dict of str to str
        Variables for the tasks, besides those of the driver.
    template : str or None
        The job script's template: a path, or a name that is searched for.
    linger : float or None
        Seconds that an agent stays without work; None: by the time it waited in the queue.
    start_timeout, orphan_timeout : float
        Seconds until an element must have said hello; until agents leave a silent driver.
    retries : int
        How often a task that was lost at its own expense is started again.
    scheduler_interval : float
        Seconds between two looks at the queue; grows to six times that.
    keep : str
        What stays of a run: "failed" (all of it if tasks failed), "all" or "none".
    on_change : str
        What to do if code changed between two starts of a named run: "say" or "refuse".
    progress : bool
        A line on standard error every ten seconds.
    """

    processes: int
    work_dir: str
    workers_per_element: int = 1
    name: str | None = None
    queue: str | None = None
    time: float | None = None
    max_time: float | None = None
    memory: int | None = None
    max_memory: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    account: str | None = None
    parallel_environment: str | None = None
    directives: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    teardown: tuple[str, ...] = ()
    python: str = sys.executable
    env: dict[str, str] = field(default_factory=dict)
    template: str | None = None
    linger: float | None = None
    start_timeout: float = 600.0
    orphan_timeout: float = 600.0
    retries: int = 2
    scheduler_interval: float = 10.0
    keep: Keep = "failed"
    on_change: OnChange = "say"
    progress: bool = False

    @property
    def elements(self) -> int:
        """Array elements at most."""
        return self.processes // self.workers

    @property
    def workers(self) -> int:
        """Workers in each element: as many as may be, unless too many would be left over.

        All elements of an array are alike, and ask for no more than they use: 100 workers, 28 to
        an element at most, are four times 25; three at most, 33 times 3.
        """
        most = min(self.workers_per_element, self.processes)
        sizes = range(most, (most + 1) // 2 - 1, -1)
        fits = (size for size in sizes if self.processes % size <= self.processes * LEFT_OVER)
        fewest = min(sizes, key=lambda size: self.processes % size)
        return next(fits, fewest)

    @property
    def slots(self) -> int:
        """CPUs of each element: a worker has one, unless more were asked for."""
        return (self.cpus or 1) * self.workers


SYNONYMS = {
    "partition": "queue",
    "walltime": "time",
    "timeout": "time",
    "h_rt": "time",
    "mem": "memory",
    "h_vmem": "memory",
    "cores": "cpus",
    "threads": "cpus",
    "ncpus": "cpus",
    "cpus_per_task": "cpus",
    "gres": "gpus",
    "project": "account",
    "pe": "parallel_environment",
    "n_jobs": "processes",
    "n_workers": "processes",
    "max_workers": "processes",
    "nprocs": "processes",
    "workers": "processes",
    "job_name": "name",
    "sbatch": "directives",
    "qsub": "directives",
    "prologue": "setup",
    "prolog": "setup",
    "epilog": "teardown",
    "environment": "env",
    "directory": "work_dir",
    "slurm": "profile",
    "sge": "profile",
}
"""What others call it: schedulers, and libraries with pools."""


def make_options(given: Mapping[str, Any], default_processes: Callable[[int], int]) -> Options:
    """Checks what was given; what was not has its default.

    Parameters
    ----------
    given : mapping
        By option.
    default_processes : callable
        Makes the number of workers of the CPUs that each needs.

    Raises
    ------
    ValueError, TypeError
        If something is not accepted; the message names option, value, what is accepted, and the
        nearest word that would do.
    """
    checked = {option: check(option, value) for option, value in given.items()}
    for option in AT_MOST:
        check_most(option, checked)
    if "processes" not in checked:
        checked["processes"] = default_processes(checked.get("cpus", 1))
    if "work_dir" not in checked:
        checked["work_dir"] = check("work_dir", DEFAULT_WORK_DIR)
    return Options(**checked)


def check(option: str, value: Any) -> Any:
    """The value of one option as `Options` holds it.

    Raises
    ------
    ValueError, TypeError
        If it is not accepted.
    """
    return _CHECKS[option](option, value)


def check_most(option: str, checked: Mapping[str, Any]) -> None:
    """What may be had at most goes with what is asked for at first.

    Raises
    ------
    ValueError
        If that is missing, or is more.
    """
    most, first = checked.get(option), AT_MOST[option]
    if most is None:
        return
    asked = checked.get(first)
    if asked is None:
        raise ValueError(
            f"{option} says how much a task may have at most that ran out of {first}, which is "
            f"doubled each time: give {first} as well, for it is not known what to begin with"
        )
    if most < asked:
        raise ValueError(f"{option} must not be less than {first}: {most} < {asked}")


AT_MOST = {"max_time": "time", "max_memory": "memory"}
"""Options that say how far others may be raised."""


def nearest(word: str, words: Iterable[str]) -> str:
    """ " Did you mean ...?", if one of the words is close to this one."""
    by_small_letters = {each.lower(): each for each in words}
    meant = SYNONYMS.get(word.lower())
    if meant in by_small_letters:
        return f" Did you mean {meant!r}?"
    close = get_close_matches(word.lower(), by_small_letters, n=1, cutoff=0.6)
    return f" Did you mean {by_small_letters[close[0]]!r}?" if close else ""


# ---- one kind of option each


def _processes(option: str, value: Any) -> int:
    number = _whole(value)
    if number is None:
        raise TypeError(f"{option}={value!r} must be an integer, at least 1")
    if number < 1:
        raise ValueError(f"Number of processes must be at least 1, and {option}={value!r}")
    return number


def _count(option: str, value: Any, least: int = 1) -> int:
    number = _whole(value)
    if number is None:
        raise TypeError(f"{option}={value!r} must be an integer, at least {least}")
    if number < least:
        raise ValueError(f"{option}={value!r} must be at least {least}")
    return number


def _whole(value: Any) -> int | None:
    """An integer of any make, but neither a truth value nor an array."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        with suppress(TypeError):
            return operator.index(value)
    return None


def _seconds(option: str, value: Any) -> float:
    return parse_time(value, option)


def _seconds_or_none(option: str, value: Any) -> float:
    """As `_seconds`, but nothing at all will do as well."""
    return parse_time(value, option, none_at_all=True)


def _silence(option: str, value: Any) -> float:
    """Of the program, which is heard every 15 s: less would be no sign of its end."""
    seconds = parse_time(value, option)
    if seconds < SHORTEST_SILENCE:
        raise ValueError(
            f"{option}={value!r} is too short: workers hear every 15 s that your program lives, so "
            f"give {SHORTEST_SILENCE:.0f} s or more"
        )
    return seconds


def _size(option: str, value: Any) -> int:
    """A megabyte at least: who gives less has forgotten the unit."""
    size = parse_memory(value, option)
    if size < 1 << 20:
        hint = f"{value}G" if str(value).isdecimal() else "4G"
        raise ValueError(
            f"{option}={value!r} is {size} bytes, too little for any worker: give {SIZES} per "
            f'worker. Did you mean "{hint}"?'
        )
    return size


def _path(option: str, value: Any) -> str:
    text = _text_of_path(option, value, "a path")
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError:  # ~ without a home
        raise ValueError(
            f"{option}={value!r}: it is not known which home directory that is: give a path "
            "without '~'"
        ) from None
    except OSError as error:
        raise ValueError(
            f"{option}={value!r} is relative, and the working directory is gone "
            f"({error.strerror}): give an absolute path"
        ) from None


def _text_of_path(option: str, value: Any, accepted: str) -> str:
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{option}={value!r} must be {accepted}")
    text = _plain(os.fspath(value))
    if not text or has_controls(text):
        raise ValueError(f"{option}={value!r} must not be empty nor hold control characters")
    return text


def _word(option: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{option}={value!r} must be a string")
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{option}={value!r} must not be empty nor hold unprintable characters")
    return _plain(value)


def _plain(text: str) -> str:
    """A member of an enumeration that is a string prints as its name elsewhere."""
    return str.__str__(text)


def has_controls(text: str) -> bool:
    """Whether a text cannot stand in a line of a file: it ends lines, or is half a letter."""
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return True
    return any(ord(character) < 32 or ord(character) == 127 for character in text)


def _name(option: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{option}={value!r} must be a string")
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{option}={value!r} names jobs: give a letter, then letters, digits, '_', '.', '-', "
            "63 characters at most"
        )
    return _plain(value)


def _choice(option: str, value: Any, words: tuple[str, ...]) -> str:
    accepted = " or ".join(f'"{word}"' for word in words)
    if not isinstance(value, str):
        raise TypeError(f"{option}={value!r} must be {accepted}")
    if value not in words:
        raise ValueError(f"{option}={value!r} must be {accepted}.{nearest(value, words)}")
    return _plain(value)


def flag(option: str, value: Any) -> bool:
    """A truth value, for `check`."""
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise TypeError(f"{option}={value!r} must be True or False")
    return bool(value)


def _lines(option: str, value: Any) -> tuple[str, ...]:
    """A text of several lines, or a sequence of such; without empty lines at either end."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{option}={value!r} must be a string or a list of strings")
    lines = [line.removesuffix("\r") for text in texts for line in text.split("\n")]
    for line in lines:
        if has_controls(line.replace("\t", " ")):
            raise ValueError(f"{option}: {line!r} holds control characters")
    filled = [number for number, line in enumerate(lines) if line.strip()]
    return tuple(lines[filled[0] : filled[-1] + 1]) if filled else ()


def _directives(option: str, value: Any) -> tuple[str, ...]:
    lines = tuple(line.strip() for line in _lines(option, value) if line.strip())
    for line in lines:
        if line.startswith("#"):
            bare = re.sub(r"^#+(SBATCH|\$)?\s*", "", line)
            raise ValueError(f"{option}: {line!r} has a # too much: give {bare!r}")
        if not re.match(r"--?[A-Za-z]", line):
            hint = f": give '--{line}'?" if line[0].isalpha() else ""
            raise ValueError(f"{option}: {line!r} is no option of a scheduler{hint}")
    return lines


def _shell(option: str, value: Any) -> tuple[str, ...]:
    """Lines that bash can read by themselves, so that they cannot swallow what comes after."""
    lines = _lines(option, value)
    for line in lines:
        if _DIRECTIVE.match(line):
            bare = _DIRECTIVE.sub("", line).strip()
            raise ValueError(
                f"{option}: schedulers take {line!r} for an option: give directives={bare!r}, "
                "or write '# ' if it is a comment"
            )
    wrong = what_bash_says("\n".join(lines) + "\n")
    if wrong:
        raise ValueError(f"{option} is no shell that bash can read: {wrong}")
    return lines


def what_bash_says(script: str) -> str:
    """What is wrong with a script, on one line; empty if it is in order or there is no bash."""
    try:
        done = subprocess.run(
            ["/bin/bash", "-n"],
            input=script.encode(errors="surrogateescape"),
            capture_output=True,
            timeout=_BASH_PATIENCE,
            check=False,
            env={"PATH": os.defpath, "LC_ALL": "C"},  # a locale that is missing would be told, too
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_BASH_PATIENCE:.0f} s"
    except OSError:
        return ""
    said = done.stderr.decode(errors="replace").replace("/bin/bash: ", "").split("\n")
    return said[0] or (f"exit code {done.returncode}" if done.returncode else "")


def _python(option: str, value: Any) -> str:
    """A path, made absolute, or a bare command that is found on the node."""
    text = _text_of_path(option, value, "a path or a command")
    if os.sep in text:
        return _path(option, text)
    if text.startswith("-"):
        raise ValueError(f"{option}={value!r} must be a path or a command, not an option")
    return _word(option, text)


def _template(option: str, value: Any) -> str:
    text = _text_of_path(option, value, "a path or the name of a template")
    is_path = os.sep in text and not text.startswith(SHIPPED)
    return _path(option, text) if is_path else _word(option, text)


def _env(option: str, value: Any) -> dict[str, str]:
    """Variables and their values; or names of variables that are set here."""
    accepted = 'a dictionary like {"NAME": "value"}, or a list of names that are set here'
    if isinstance(value, Mapping):
        found = dict(value)
    elif isinstance(value, list | tuple | set | frozenset):
        found, here = {}, dict(os.environ)  # who asks os.environ itself must ask in letters
        for name in value:
            if not isinstance(name, str):
                raise TypeError(f"{option}={value!r} must be {accepted}")
            if name not in here:
                raise ValueError(f"{option} names {name!r}, which is not set here: give {accepted}")
            found[name] = here[name]
    else:
        raise TypeError(f"{option}={value!r} must be {accepted}")
    for name, text in found.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"{option}: {name!r} = {text!r} must be two strings")
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{option}: {name!r} is no variable's name: give {accepted}")
        if name.startswith(_OF_SCHEDULERS):
            raise ValueError(
                f"{option}: {name!r} would change what the scheduler's own commands do; tasks get "
                "such variables from the scheduler"
            )
        if "\0" in text or has_controls(re.sub(r"[\x00-\x1f\x7f]", "", text)):
            raise ValueError(f"{option}: the value {text!r} of {name} cannot be handed on")
    return {_plain(name): _plain(text) for name, text in found.items()}


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "processes": _processes,
    "work_dir": _path,
    "workers_per_element": _count,
    "name": _name,
    "queue": _word,
    "time": _seconds,
    "max_time": _seconds,
    "memory": _size,
    "max_memory": _size,
    "cpus": _count,
    "gpus": _count,
    "account": _word,
    "parallel_environment": _word,
    "directives": _directives,
    "setup": _shell,
    "teardown": _shell,
    "python": _python,
    "env": _env,
    "template": _template,
    "linger": _seconds_or_none,
    "start_timeout": _seconds,
    "orphan_timeout": _silence,
    "retries": partial(_count, least=0),
    "scheduler_interval": _seconds,
    "keep": partial(_choice, words=("failed", "all", "none")),
    "on_change": partial(_choice, words=("say", "refuse")),
    "progress": flag,
    "verbose": flag,
}

NAMES = tuple(option.name for option in fields(Options))


# ---- options as text


def from_text(option: str, text: str) -> Any:
    """What an environment variable says of an option, for `check`.

    Integers and flags are read; lists are lines, or for `env` words with commas between them.

    Raises
    ------
    ValueError
        If the text cannot be read so.
    """
    kind = _CHECKS[option]
    function = kind.func if isinstance(kind, partial) else kind
    if function in (_processes, _count):
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"{option}={text!r} must be an integer") from None
    if function is flag:
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in words:
            raise ValueError(f"{option}={text!r} must be one of {', '.join(words)}")
        return words[text.lower()]
    if function is _env:
        return [name.strip() for name in text.split(",") if name.strip()]
    return text
