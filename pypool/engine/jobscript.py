"""The job script: a template of the scheduler, or the user's own, filled in.

A template is found by its name in the working directory, the user's settings, the site's, and
last among those that come with pypool; `pypool/NAME` always finds the latter, for templates that
extend them. Variables that a template names and nobody defines are errors, wherever they stand.
Every value is quoted for the shell, or for the scheduler's options, by the template's own filters.
"""

import re
import shlex
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

import pypool
from pypool.engine.templates import TEMPLATES, Loader, WholeLines, check, not_found
from pypool.errors import SubmitError
from pypool.options import SHIPPED, Options, has_controls, nearest, what_bash_says
from pypool.rundir import names
from pypool.schedulers.base import Scheduler

MIB = 1 << 20
START = Path(pypool.__file__).parent / "worker" / "start.py"
SHORTEST_TIME = 60
"""Seconds: Slurm counts in minutes."""


def render(
    scheduler: Scheduler,
    options: Options,
    run: str,
    parallel_environment: str | None = None,
    gpu_request: str | None = None,
) -> str:
    """The text of the job script.

    Parameters
    ----------
    scheduler : Scheduler
        Whose template is taken unless the options name one.
    options : Options
        What the user asked for.
    run : str
        The run directory, absolute.
    parallel_environment : str, optional
        The one that was found, for several slots on one host.
    gpu_request : str, optional
        How GPUs are asked for here, if that had to be found out.

    Raises
    ------
    SubmitError
        If a value cannot stand in a job script, or the template is not in order.
    """
    name = options.template or f"{scheduler.name}.sh.j2"
    values = variables(scheduler, options, run, parallel_environment, gpu_request)
    loader = Loader(name)
    environment = _environment(scheduler, loader)
    try:
        check(environment, name, set(values))
        if not loader.own:
            _check_slots(scheduler, values)
        script = environment.get_template(name).render(values)
    except SubmitError:  # a value, and it says which
        raise
    except (ArithmeticError, AttributeError, LookupError, OSError) as error:
        raise SubmitError(_what_is_wrong(loader, error, values)) from error
    except (jinja2.TemplateError, RuntimeError, TypeError, ValueError) as error:
        raise SubmitError(_what_is_wrong(loader, error, values)) from error
    if loader.own:
        _check_script(script, loader.own[0])
    _check_language(scheduler, loader)
    return script


def variables(
    scheduler: Scheduler,
    options: Options,
    run: str,
    parallel_environment: str | None = None,
    gpu_request: str | None = None,
) -> dict[str, Any]:
    """What a template may use; amounts are those of one element."""
    workers = options.workers
    memory = options.memory
    gpus = None if options.gpus is None else options.gpus * workers
    return {
        "python": options.python,
        "start": str(START),
        "run": run,
        "workers": workers,
        "setup": list(options.setup),
        "teardown": list(options.teardown),
        "log": scheduler.log_pattern(f"{run}/{names.SCHEDULER}"),
        "queue": options.queue,
        "account": options.account,
        "time": None if options.time is None else max(SHORTEST_TIME, -int(-options.time // 1)),
        "memory": None if memory is None else -(-memory // MIB) * workers,
        "cpus": options.slots if options.cpus or workers > 1 else None,
        "slots": options.slots,
        "gpus": gpus,
        "gpu_request": gpu_request or (None if gpus is None else f"gpu={gpus}"),
        "parallel_environment": options.parallel_environment or parallel_environment,
        "directives": list(options.directives),
    }


def _environment(scheduler: Scheduler, loader: jinja2.BaseLoader) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=loader,
        extensions=[WholeLines],
        undefined=jinja2.StrictUndefined,
        finalize=_something,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it is a shell script, the filters below quote for it
    )
    environment.filters["quote"] = lambda value: shlex.quote(_one_line(value))
    environment.filters["directive"] = lambda value: scheduler.directive(_one_line(value))
    environment.filters["days_and_time"] = days_and_time
    return environment


def days_and_time(seconds: float) -> str:
    """days-hours:minutes:seconds, as Slurm takes a time limit."""
    minutes, second = divmod(int(-(-seconds // 1)), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"{day}-{hour:02}:{minute:02}:{second:02}"


def _something(value: Any) -> Any:
    if value is None:
        raise TypeError("a value that was not asked for would be written as None: put an if around")
    return value


def _one_line(value: Any) -> str:
    text = str(_something(value))
    if has_controls(text):
        raise SubmitError(f"{text!r} cannot stand in a job script: it has control characters")
    return text


def _check_slots(scheduler: Scheduler, values: Mapping[str, Any]) -> None:
    """Grid Engine gives several slots of one host only by the name of how it does so."""
    if scheduler.name == "sge" and values["slots"] > 1 and not values["parallel_environment"]:
        raise SubmitError(
            f"An element needs {values['slots']} CPUs of one host, and Grid Engine has no parallel "
            "environment for that (with allocation_rule $pe_slots): give parallel_environment=... "
            "if you know one, or cpus=1 and workers_per_element=1."
        )


# ---- what can be wrong


def _what_is_wrong(loader: Loader, error: Exception, values: Mapping[str, object]) -> str:
    """Line and name of the template, what is wrong there, and what could be meant."""
    place = loader.files[0] if loader.files else loader.named
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename in loader.files:
            place = f"line {frame.lineno} of {frame.filename}"
    said = str(error)
    if isinstance(error, jinja2.TemplateNotFound):
        said = not_found(str(error.name), loader)
    elif isinstance(error, jinja2.TemplateSyntaxError):
        place = f"line {error.lineno} of {error.filename or error.name or place}"
        said = error.message or said
    elif isinstance(error, OSError):
        said = f"{error.filename or place} cannot be read: {error.strerror}"
    elif isinstance(error, RecursionError):
        said = "templates include or extend each other without end"
    undefined = re.match(r"'(\w+)' is undefined$", said)
    hint = nearest(undefined[1], values) if undefined else ""
    end = "" if said.endswith((".", "?")) else "."
    return (
        f"The job script cannot be made, see {place}: {said}{end}{hint} "
        f"Templates may use {', '.join(sorted(values))}."
    )


def _check_language(scheduler: Scheduler, loader: Loader) -> None:
    """What another scheduler reads this one passes over: logs and results would go astray."""
    for file in map(Path, loader.files):
        language = file.name.removesuffix(".sh.j2")
        if file.parent == TEMPLATES and {language, scheduler.name} == {"slurm", "sge"}:
            raise SubmitError(
                f"The template {loader.files[0]} is for {language}, and this pool for "
                f"{scheduler.name}: take {SHIPPED}{scheduler.name}.sh.j2, or one that extends it."
            )


def _check_script(script: str, template: str) -> None:
    """A script that neither scheduler nor bash can read is no use to anybody."""
    if not script.startswith("#!"):
        raise SubmitError(
            f"The template {template} makes a script that does not begin with '#!': nothing may "
            "stand before that, no empty line either."
        )
    wrong = what_bash_says(script)
    if wrong:
        raise SubmitError(f"The template {template} makes a script that bash cannot read: {wrong}")
