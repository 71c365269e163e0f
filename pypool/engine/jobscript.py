"""The job script: a template of the scheduler, filled in.

Variables that a template names and nobody defines are errors. Every value is quoted for the
shell, or for the scheduler's directives, by the template's own filters.
"""

import shlex
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

import pypool
from pypool.config import Options
from pypool.errors import SubmitError
from pypool.rundir import names

TEMPLATES = Path(pypool.__file__).parent / "templates"
MIB = 1 << 20
START = Path(pypool.__file__).parent / "worker" / "start.py"


def render(scheduler: str, options: Options, run: str, python: str) -> str:
    """The text of the job script.

    Parameters
    ----------
    scheduler : str
        Names the template.
    options : Options
        What the user asked for.
    run : str
        The run directory, absolute.
    python : str
        The interpreter that runs the agent.

    Raises
    ------
    SubmitError
        If a value cannot stand in a job script, or the template is not in order.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it is a shell script, the filters below quote for it
    )
    environment.filters["quote"] = lambda value: shlex.quote(_one_line(value))
    environment.filters["directive"] = directive
    environment.filters["pattern"] = pattern
    memory = options.memory
    values = {
        "name": scheduler,
        "python": python,
        "start": str(START),
        "run": run,
        "logs": f"{run}/{names.SCHEDULER}",
        "queue": options.queue,
        "time": None if options.time is None else days_and_time(options.time),
        "memory": None if memory is None else -(-memory // MIB) * options.workers_per_element,
        "cpus": None if options.cpus is None else options.cpus * options.workers_per_element,
    }
    try:
        return environment.get_template(f"{scheduler}.sh.j2").render(values)
    except jinja2.TemplateError as error:
        raise SubmitError(_what_is_wrong(scheduler, error, values)) from error


def days_and_time(seconds: float) -> str:
    """days-hours:minutes:seconds, as Slurm takes a time limit; at least a minute."""
    whole = max(60, int(-(-seconds // 1)))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"{day}-{hour:02}:{minute:02}:{second:02}"


def directive(value: Any) -> str:
    """Quotes a value for a line of sbatch's directives.

    They are read like a shell's words, but that a backslash takes the next character as it is
    between quotes too.
    """
    return shlex.quote(_one_line(value)).replace("\\", "\\\\")


def pattern(path: Any) -> str:
    """A path in the pattern of a log file's name. Slurm fills in none that has a backslash."""
    text = str(path)
    if "\\" in text:
        raise SubmitError(
            f"{text!r} has a backslash: Slurm cannot write log files there. Choose another work_dir"
        )
    return text.replace("%", "%%")


def _what_is_wrong(
    scheduler: str, error: jinja2.TemplateError, values: Mapping[str, object]
) -> str:
    place = f"{TEMPLATES}/{scheduler}.sh.j2"
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.endswith(".j2"):
            place = f"line {frame.lineno} of {frame.filename}"
    return (
        f"The job script cannot be made, see {place}: {error.message}. "
        f"Templates may use {', '.join(sorted(values))}."
    )


def _one_line(value: Any) -> str:
    text = str(value)
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise SubmitError(f"{text!r} cannot stand in a job script: it has control characters")
    return text
