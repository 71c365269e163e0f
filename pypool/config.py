"""Where options come from: the program, the environment, and `pypool.toml`.

    keyword  >  PYPOOL_...  >  the profile  >  the rest of the files
    project's file  >  user's file  >  site's file

A file is a table of options (see `options`), `scheduler` and `profile`; tables `[profile.NAME]`
hold the options of a profile. All keys of a file are checked, and the values that are used: a
mistake names the file.
"""

import logging
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pypool import options
from pypool.options import Options, nearest
from pypool.places import is_trusted, user_and_site

log = logging.getLogger("pypool")

FILE = "pypool.toml"
PREFIX = "PYPOOL_"
SCHEDULERS = ("local", "serial", "sge", "shell", "slurm")

SELECTING = ("profile", "scheduler")
"""What can be said beside the options: which profile, which scheduler."""

KEYS = (*SELECTING, "verbose", *options.NAMES)
OUR_VARIABLES = ("PYPOOL_CONFIG", "PYPOOL_ELEMENT", "PYPOOL_TEST_")
"""Begins of variables that are no options."""

ENVIRONMENT = "the environment"

NOT_BOTH = (
    "A file that has tables [profile.NAME] cannot choose one: give defaults above all tables, or "
    "choose by PYPOOL_PROFILE"
)

_ASKED_FOR = frozenset(
    {"account", "directives", "linger", "memory", "name", "orphan_timeout", "parallel_environment"}
    | {"python", "queue", "scheduler_interval", "setup", "start_timeout", "teardown", "template"}
    | {"time", "work_dir", "workers_per_element", "keep", "max_time", "max_memory"}
)
HAS_NO_USE_FOR = {
    "local": _ASKED_FOR,
    "serial": _ASKED_FOR | {"cpus", "env", "gpus", "on_change", "progress", "retries"},
    "shell": frozenset({"account", "directives", "memory", "max_memory", "parallel_environment"})
    | {"queue", "scheduler_interval"},
    "slurm": frozenset({"parallel_environment"}),
    "sge": frozenset[str](),
}
"""Options that a kind of pool cannot honour, because nobody is asked for anything."""

_EXPORT, _NOTHING = "env= could not reach the tasks", "there would be no job that pypool knows"
_ARRAY, _NAME, _LOG = "pypool numbers the elements", "give name=...", "pypool looks for logs there"
SHORTEST_ABBREVIATION = 5
"""sbatch takes the beginnings of its long options for them; shorter ones it calls ambiguous."""

NOT_DIRECTIVES = {
    "slurm": {"--array": _ARRAY, "--job-name": _NAME, "--output": _LOG}
    | {"-a": _ARRAY, "-J": _NAME, "-o": _LOG}
    | {"--export": _EXPORT, "--test-only": _NOTHING, "--wrap": _NOTHING},
    "sge": {"-t": _ARRAY, "-N": _NAME, "-o": _LOG}
    | {"-clear": _EXPORT, "-verify": _NOTHING, "-now": _NOTHING},
}
"""What pypool says of its jobs itself, so that a directive would count for nothing or worse."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Some settings and where they are from.

    Attributes
    ----------
    source : str
        For messages: a file, `ENVIRONMENT`, or empty for what the program itself gave.
    settings : dict
        By option; checked as to names, not as to values.
    """

    source: str
    settings: dict[str, Any]

    def place(self, option: str) -> str:
        """Where an option stands, to begin a message with."""
        source = PREFIX + option.upper() if self.source == ENVIRONMENT else self.source
        return f"{source}: " if source else ""


@dataclass(frozen=True, slots=True)
class Settings:
    """All layers, the strongest first.

    Attributes
    ----------
    scheduler : str or None
        What they name; None if it is to be found out.
    bound : tuple or None
        The scheduler of a profile that was asked for, and how that is called in a message.
    """

    layers: list[Layer]
    scheduler: str | None
    bound: tuple[str, str] | None = None

    def choose(self, own: str | None) -> str | None:
        """The scheduler of a pool whose class says `own`: that goes before any settings.

        Raises
        ------
        ValueError
            If the profile that was asked for is for another one.
        """
        if own and self.bound and self.bound[0] != own:
            scheduler, profile = self.bound
            raise ValueError(
                f"{profile} is for scheduler={scheduler!r}, and this is a pypool.{own}.Pool: "
                "take pypool.Pool, or another profile"
            )
        if self.bound and {self.bound[0], self.scheduler} == {"slurm", "sge"}:
            scheduler, profile = self.bound
            raise ValueError(
                f"{profile} is for scheduler={scheduler!r}, and PYPOOL_SCHEDULER={self.scheduler}: "
                "take another profile"
            )
        return own or self.scheduler

    def options(self, scheduler: str, default_processes: Callable[[int], int]) -> Options:
        """The options of a pool on this scheduler.

        Raises
        ------
        ValueError, TypeError
            If a value is not accepted; the message says where it stands.
        """
        given: dict[str, Any] = {}
        layers: dict[str, Layer] = {}
        no_use: dict[str, list[str]] = {}
        for layer in self.layers:
            for option, value in layer.settings.items():
                if option in SELECTING or option in given:
                    continue
                given[option] = _checked(option, value, layer)
                layers[option] = layer
                if option == "directives":
                    _refuse_ours(scheduler, given[option], layer)
                if option in HAS_NO_USE_FOR[scheduler]:
                    no_use.setdefault(layer.source, []).append(option)
        for option in options.AT_MOST:
            if option in layers:
                _check_most(option, given, layers[option])
        for source, names in no_use.items():
            _say_no_use(scheduler, source, sorted(names))
        if "work_dir" in HAS_NO_USE_FOR[scheduler]:
            given.setdefault("work_dir", os.sep)  # not everybody has a home for the default
        return options.make_options(given, default_processes)


_said: set[tuple[str, ...]] = set()


def _say_no_use(scheduler: str, source: str, names: list[str]) -> None:
    """Once for each set: a program that makes many pools says it once.

    A file holds for many programs, here and on clusters, so it is no surprise there.
    """
    if (scheduler, source, *names) not in _said:
        _said.add((scheduler, source, *names))
        level = logging.INFO if source else logging.WARNING
        place = f" (from {source})" if source else ""
        log.log(level, "a %s pool has no use for %s%s", scheduler, ", ".join(names), place)


def gather(
    given: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> Settings:
    """Everything that was said of a pool.

    Parameters
    ----------
    given : mapping
        The keywords of the program that are not None.
    environment : mapping, optional
        `os.environ` unless given.
    directory : path, optional
        Where the project's file is looked for, and above; the working directory unless given.

    Raises
    ------
    ValueError, TypeError
        If a key or a profile is unknown, or a file cannot be read.
    """
    environment = os.environ if environment is None else environment
    files = [Layer(str(path), _read(path)) for path in _files(environment, directory)]
    said = [Layer("", _with_one_progress(given)), _of_environment(environment)]
    general = [Layer(file.source, _without_profiles(file.settings, file.source)) for file in files]
    profile = _first([*said, *general], "profile")
    chosen = [] if profile is None else _profile(*profile, files)
    layers = [*said, *chosen, *general]
    scheduler, bound = _first(layers, "scheduler"), _first(chosen, "scheduler")
    settings = Settings(layers, _scheduler(*scheduler) if scheduler else None)
    if bound and profile and profile[1] in said:  # what a file says is no more than a default
        called = f"{profile[1].place('profile')}profile={profile[0]!r} ({bound[1].source})"
        settings = replace(settings, bound=(_scheduler(*bound), called))
    return settings


def _first(layers: list[Layer], option: str) -> tuple[Any, Layer] | None:
    """The strongest value of an option, and where it is from."""
    for layer in layers:
        if option in layer.settings:
            return layer.settings[option], layer
    return None


def _checked(option: str, value: Any, layer: Layer) -> Any:
    """The checked value; the message of what is wrong tells where it stands."""
    try:
        return options.check(option, value)
    except (TypeError, ValueError) as error:
        if layer.source:
            raise type(error)(f"{layer.place(option)}{error}") from None
        raise


def _check_most(option: str, given: Mapping[str, Any], layer: Layer) -> None:
    try:
        options.check_most(option, given)
    except ValueError as error:
        raise ValueError(f"{layer.place(option)}{error}") from None


def _refuse_ours(scheduler: str, directives: tuple[str, ...], layer: Layer) -> None:
    """A directive that pypool has use for itself is not passed over in silence."""
    ours = NOT_DIRECTIVES.get(scheduler, {})
    for line in directives:
        for word in _words(line):
            joined = word[:2] if scheduler == "slurm" and not word.startswith("--") else word
            option = joined.partition("=")[0]
            if option.startswith("--") and len(option) >= SHORTEST_ABBREVIATION:
                option = next((each for each in ours if each.startswith(option)), option)
            why = ours.get(option)
            if why:
                place = layer.place("directives")
                raise ValueError(f"{place}directives: {line!r} cannot be given: {why}")


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # the scheduler will have its say
        return line.split()


def _scheduler(name: Any, layer: Layer) -> str:
    if name not in SCHEDULERS:
        place = layer.place("scheduler")
        said = "PYPOOL_SCHEDULER" if layer.source == ENVIRONMENT else f"{place}scheduler"
        raise ValueError(
            f"{said}={name!r} is no scheduler that pypool knows: "
            f"give one of {', '.join(SCHEDULERS)}.{nearest(str(name), SCHEDULERS)}"
        )
    return str(name)


def _with_one_progress(given: Mapping[str, Any]) -> dict[str, Any]:
    """`verbose` is another word for `progress`."""
    settings = dict(given)
    if "verbose" in settings:
        verbose = options.flag("verbose", settings.pop("verbose"))
        if options.flag("progress", settings.get("progress", verbose)) != verbose:
            raise ValueError(
                f"progress={settings['progress']!r} and verbose={verbose!r} mean the same: give one"
            )
        settings["progress"] = verbose
    return settings


# ---- the environment


def _of_environment(environment: Mapping[str, str]) -> Layer:
    """What variables say; empty ones say nothing."""
    settings: dict[str, Any] = {}
    known = {PREFIX + key.upper(): key for key in KEYS}
    for name, text in sorted(environment.items()):
        if not name.startswith(PREFIX) or name.startswith(OUR_VARIABLES) or not text:
            continue
        option = known.get(name)
        if option in SELECTING:
            settings[option] = text
        elif option is not None:
            try:
                settings[option] = options.from_text(option, text)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        elif (name,) not in _said:
            _said.add((name,))
            hint = get_close_matches(name.upper(), known, n=1)
            log.warning("the variable %s means nothing to pypool%s", name, _did_you_mean(hint))
    try:
        return Layer(ENVIRONMENT, _with_one_progress(settings))
    except ValueError as error:
        raise ValueError(f"{ENVIRONMENT}: {error}") from None


def _did_you_mean(words: list[str]) -> str:
    return f": did you mean {words[0]}?" if words else ""


# ---- files


def _files(
    environment: Mapping[str, str], directory: str | os.PathLike[str] | None
) -> Iterator[Path]:
    """The project's file, the user's and the site's, as far as they are there.

    PYPOOL_CONFIG names one in the place of the project's.
    """
    named = environment.get("PYPOOL_CONFIG")
    if named:
        yield Path(named).expanduser().absolute()
    with suppress(OSError):  # no working directory, no project
        here = Path.cwd() if directory is None else Path(directory)
        for folder in [here, *here.parents]:
            if not named and is_trusted(folder / FILE):
                yield folder / FILE
                break
    for folder in user_and_site(environment):
        with suppress(OSError):  # a folder that is nobody's business here
            if (folder / FILE).is_file():
                yield folder / FILE


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode()
        return tomllib.loads(text)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no TOML: it is not in UTF-8 ({error.reason})") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        both = re.search(r"^profile\s*=", text, re.M) and re.search(r"^\[\s*profile\b", text, re.M)
        hint = f". {NOT_BOTH}" if both else ""
        raise ValueError(f"{path} is no TOML: {error}{hint}") from None


def _without_profiles(table: dict[str, Any], path: str) -> dict[str, Any]:
    """The file's own settings; the names of all keys in it are checked."""
    profiles = table.get("profile")
    if isinstance(profiles, dict):
        for name, profile in profiles.items():
            if not isinstance(profile, dict):
                raise ValueError(f"{path}: profile.{name} must be a table of options. {NOT_BOTH}")
            _check_keys(profile, f"{path}, [profile.{name}]", profile=True)
        table = {key: value for key, value in table.items() if key != "profile"}
    _check_keys(table, path)
    return _prepared(table, path, path)


def _check_keys(table: Mapping[str, Any], place: str, profile: bool = False) -> None:
    keys = [key for key in KEYS if not (profile and key == "profile")]
    for key in table:
        if key not in keys:
            raise ValueError(
                f"{place}: {key!r} is no option.{nearest(key, keys)} "
                f"Options are {', '.join(sorted(keys))}."
            )


def _profile(name: Any, layer: Layer, files: list[Layer]) -> list[Layer]:
    """The profile's table in each file that has one."""
    place = layer.place("profile")
    if not isinstance(name, str):
        raise TypeError(f"{place}profile={name!r} must be the name of a profile")
    found = []
    known: list[str] = []
    for file in files:
        profiles = file.settings.get("profile")
        if isinstance(profiles, dict):
            known += profiles
            if name in profiles:
                source = f"{file.source}, [profile.{name}]"
                found.append(Layer(source, _prepared(profiles[name], file.source, source)))
    if not found:
        places = ", ".join(file.source for file in files) or f"no {FILE} is here"
        raise ValueError(
            f"{place}there is no profile {name!r}.{nearest(name, known)} "
            f"Profiles are: {', '.join(sorted(set(known))) or 'none'} ({places})."
        )
    return found


def _prepared(table: Mapping[str, Any], path: str, place: str) -> dict[str, Any]:
    """As given by keywords: one word for `progress`, paths relative to the file's directory."""
    try:
        settings = _with_one_progress(table)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{place}: {error}") from None
    for option in ("work_dir", "python", "template"):
        value = settings.get(option)
        if isinstance(value, str) and (os.sep in value or (option == "work_dir" and value)):
            home = value.startswith("~")
            settings[option] = value if home else str(Path(path).parent / value)
    return settings
