"""Where options come from: the program, variables, profiles and files, and which goes before which.

Every test has its own project, user and site, in a directory that nobody else can write to.
"""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_options import FROM_TEXT, RIGHT

from pypool import config, places
from pypool.config import FILE, SCHEDULERS, Settings
from pypool.options import Options
from pypool.picking import SCHEDULERS as ADAPTERS

AS_ROOT = os.getuid() == 0


class World:
    """A project, a user and a site, each with or without a file; and an environment."""

    def __init__(self, place: Path) -> None:
        self.project, self.user, self.site = (place / name for name in ("project", "home", "site"))
        self.environment = {
            "HOME": str(self.user),
            "XDG_CONFIG_DIRS": str(self.site),
        }
        self.folders = {
            "project": self.project,
            "user": self.user / ".config" / "pypool",
            "site": self.site / "pypool",
        }
        for folder in self.folders.values():
            folder.mkdir(parents=True)

    def write(self, whose: str, text: str) -> Path:
        path = self.folders[whose] / FILE
        path.write_text(text)
        return path

    def gather(self, directory: Path | None = None, **given: Any) -> Settings:
        return config.gather(given, self.environment, directory or self.project)

    def options(self, scheduler: str = "slurm", **given: Any) -> Options:
        return self.gather(**given).options(scheduler, lambda cpus: 64)

    def mistake(self, **given: Any) -> str:
        """What is said of it."""
        with pytest.raises((TypeError, ValueError)) as caught:
            self.options(**given)
        return str(caught.value)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An empty one. What is said once for all is said anew."""
    monkeypatch.setattr(config, "_said", set())
    monkeypatch.setattr(places, "_said", set())
    return World(tmp_path)


# ---- who goes before whom

LAYERS = ("keyword", "environment", "profile", "project", "user", "site")


@pytest.mark.parametrize("strongest", range(len(LAYERS)))
def test_the_strongest_of_all_layers_counts(world: World, strongest: int) -> None:
    """Keyword, environment, profile, the project's file, the user's, the site's."""
    there = LAYERS[strongest:]
    for whose in ("project", "user", "site"):
        if whose in there:
            world.write(whose, f'queue = "{whose}"\naccount = "{whose}"\n')
    if "profile" in there:
        path = world.folders["site"] / FILE
        path.write_text(path.read_text() + '[profile.p]\nqueue = "profile"\n')
        world.environment["PYPOOL_PROFILE"] = "p"
    if "environment" in there:
        world.environment["PYPOOL_QUEUE"] = "environment"
    given = {"queue": "keyword"} if "keyword" in there else {}
    found = world.options(**given)
    assert found.queue == there[0]
    assert found.account == next(each for each in there if each in ("project", "user", "site"))


@pytest.mark.parametrize("strongest", range(4))
def test_the_same_holds_for_files_and_the_profile_in_each(world: World, strongest: int) -> None:
    """A profile of the project goes before one of that name of the user's, option by option."""
    whose = ("project", "user", "site")
    for name in whose[strongest:]:
        world.write(name, f'queue = "low"\n[profile.p]\nqueue = "{name}"\n{name_option(name)}\n')
    if strongest == len(whose):
        assert "there is no profile 'p'" in world.mistake(profile="p")
        return
    found = world.options(profile="p")
    assert found.queue == whose[strongest]
    assert found.account == "site"
    assert world.options().queue == "low"


def name_option(whose: str) -> str:
    """An option that only the site's profile has."""
    return 'account = "site"' if whose == "site" else ""


def test_without_anything_all_is_left_to_the_scheduler(world: World) -> None:
    """No file is needed."""
    found = world.gather()
    assert found.scheduler is None
    assert world.options() == Options(64, os.path.expanduser("~/.pypool"))  # noqa: PTH111


def test_a_keyword_takes_back_what_a_file_says(world: World) -> None:
    """Lists are replaced, not added to."""
    world.write("site", 'setup = "module load x"\nenv = {A = "1"}\n')
    assert world.options().setup == ("module load x",)
    found = world.options(setup="", env={})
    assert (found.setup, found.env) == ((), {})


# ---- files


def test_the_projects_file_is_looked_for_upwards(world: World) -> None:
    """The nearest counts, and it alone."""
    world.write("project", 'queue = "far"\naccount = "far"\n')
    below = world.project / "a" / "b"
    below.mkdir(parents=True)
    settings = world.gather(directory=below)
    assert settings.options("slurm", lambda cpus: 1).queue == "far"
    (world.project / "a" / FILE).write_text('queue = "near"\n')
    found = world.gather(directory=below).options("slurm", lambda cpus: 1)
    assert (found.queue, found.account) == ("near", None)


def test_xdg_says_where_the_users_file_is(world: World, tmp_path: Path) -> None:
    """XDG_CONFIG_HOME goes before ~/.config; relative folders are none."""
    world.write("user", 'queue = "home"\n')
    other = tmp_path / "other" / "pypool"
    other.mkdir(parents=True)
    (other / FILE).write_text('queue = "xdg"\n')
    world.environment["XDG_CONFIG_HOME"] = str(other.parent)
    world.environment["XDG_CONFIG_DIRS"] = f"relative:{world.site}"
    assert world.options().queue == "xdg"


def test_of_several_sites_the_first_counts(world: World, tmp_path: Path) -> None:
    """As the folders are ordered."""
    world.write("site", 'queue = "second"\naccount = "second"\n')
    first = tmp_path / "first" / "pypool"
    first.mkdir(parents=True)
    (first / FILE).write_text('queue = "first"\n')
    world.environment["XDG_CONFIG_DIRS"] = f"{first.parent}:{world.site}"
    found = world.options()
    assert (found.queue, found.account) == ("first", "second")


def toml(value: Any) -> str:
    """A value as a file has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else config_string(value)


def config_string(value: Any) -> str:
    if not isinstance(value, str):
        return repr(value)
    escaped = "".join(
        f"\\u{ord(letter):04X}" if ord(letter) < 32 or letter in '"\\' else letter
        for letter in value
    )
    return f'"{escaped}"'


PLAIN = (bool, int, float, str, list, dict)
IN_TOML = [row for row in RIGHT if type(row[1]) in PLAIN]


def test_every_option_can_stand_in_a_file() -> None:
    """The table has a value of each that TOML knows."""
    assert {row[0] for row in IN_TOML} == set(config.options.NAMES)


@pytest.mark.parametrize(("option", "given", "held"), IN_TOML)
def test_options_stand_in_files_as_in_programs(
    world: World, option: str, given: Any, held: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same words, the same values."""
    monkeypatch.setenv("HOME", "/home/somebody")
    first = config.options.AT_MOST.get(option)
    needed = f'{first} = "1M"\n' if first == "memory" else f'{first} = "1s"\n' if first else ""
    world.write("user", f"{needed}{option} = {toml(given)}\n")
    assert getattr(world.options("sge"), option) == held


def test_what_is_wrong_with_a_most_names_its_place(world: World) -> None:
    """The value may be in order, but not beside the other one."""
    file = world.write("user", 'time = "2h"\nmax_time = "1h"\n')
    with pytest.raises(ValueError, match=f"{file}: max_time must not be less than time"):
        world.options("sge")


def test_text_of_several_lines_is_that_many_lines(world: World) -> None:
    """What TOML writes between three quotes."""
    world.write("user", 'setup = """\nmodule load x\nif true; then\n  date\nfi\n"""\n')
    assert world.options().setup == ("module load x", "if true; then", "  date", "fi")


@pytest.mark.parametrize("option", ["work_dir", "python", "template"])
def test_paths_in_a_file_are_meant_from_there(world: World, option: str) -> None:
    """Wherever the program runs."""
    path = world.write("project", f'{option} = "sub/x"\n')
    assert getattr(world.options(), option) == str(path.parent / "sub" / "x")


@pytest.mark.parametrize(
    ("option", "given", "held"),
    [
        ("python", "python3", "python3"),
        ("template", "mine.j2", "mine.j2"),
        ("work_dir", "~/runs", "/home/somebody/runs"),
        ("python", "/abs/python", "/abs/python"),
    ],
)
def test_commands_names_and_absolute_paths_are_what_they_are(
    world: World, option: str, given: str, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has no slash is looked for; `~` is the user's home."""
    monkeypatch.setenv("HOME", "/home/somebody")
    world.write("project", f'{option} = "{given}"\n')
    assert getattr(world.options(), option) == held


def test_a_name_alone_is_a_work_directory(world: World) -> None:
    """It is no name of a command."""
    path = world.write("project", 'work_dir = "runs"\n')
    assert world.options().work_dir == str(path.parent / "runs")


# ---- profiles


def test_a_profile_is_chosen_by_keyword_variable_or_file(world: World) -> None:
    """In that order; what it does not say is as elsewhere."""
    profiles = "".join(f'[profile.{name}]\nqueue = "{name}"\n' for name in "abc")
    world.write("site", f'account = "x"\n{profiles}')
    world.write("project", 'profile = "a"\n')
    assert world.options().queue == "a"
    world.environment["PYPOOL_PROFILE"] = "b"
    assert world.options().queue == "b"
    found = world.options(profile="c")
    assert (found.queue, found.account) == ("c", "x")


def test_a_missing_profile_is_named_with_those_that_are_there(world: World) -> None:
    """And the nearest one."""
    path = world.write("user", "[profile.BigMem]\n[profile.fast]\n")
    world.environment["PYPOOL_PROFILE"] = "bigmme"
    assert world.mistake() == (
        "PYPOOL_PROFILE: there is no profile 'bigmme'. Did you mean 'BigMem'? "
        f"Profiles are: BigMem, fast ({path})."
    )


def test_without_any_file_that_is_said_as_well(world: World) -> None:
    """There cannot be a profile then."""
    assert world.mistake(profile="bigmem") == (
        "there is no profile 'bigmem'. Profiles are: none (no pypool.toml is here)."
    )


@pytest.mark.parametrize("given", [3, ["a"], True])
def test_a_profile_is_named_by_a_string(world: World, given: Any) -> None:
    """Anything else is of the wrong type."""
    assert world.mistake(profile=given) == f"profile={given!r} must be the name of a profile"


def test_an_empty_profile_is_none_that_is_there(world: World) -> None:
    """Only an empty variable says nothing."""
    world.write("user", "[profile.a]\n")
    assert "there is no profile ''" in world.mistake(profile="")
    world.environment["PYPOOL_PROFILE"] = ""
    assert world.options().processes == 64


# ---- schedulers


def test_all_schedulers_are_known() -> None:
    """Whatever there is an adapter for, and the two kinds without."""
    assert set(SCHEDULERS) == {*ADAPTERS, "local", "serial"} == set(config.HAS_NO_USE_FOR)


@pytest.mark.parametrize("whose", ["environment", "profile", "project", "user", "site"])
def test_a_scheduler_is_named_anywhere(world: World, whose: str) -> None:
    """In a variable or any file."""
    if whose == "environment":
        world.environment["PYPOOL_SCHEDULER"] = "serial"
    elif whose == "profile":
        world.write("user", 'scheduler = "sge"\n[profile.p]\nscheduler = "serial"\n')
        world.environment["PYPOOL_PROFILE"] = "p"
    else:
        world.write(whose, 'scheduler = "serial"\n')
    assert world.gather().scheduler == "serial"


def test_an_unknown_scheduler_is_refused_with_its_place(world: World) -> None:
    """With what was given, all that is known, and the nearest."""
    known = "local, serial, sge, shell, slurm"
    path = world.write("user", 'scheduler = "slrum"\n')
    assert world.mistake() == (
        f"{path}: scheduler='slrum' is no scheduler that pypool knows: give one of {known}. "
        "Did you mean 'slurm'?"
    )
    world.environment["PYPOOL_SCHEDULER"] = "lsf"
    assert world.mistake() == (
        f"PYPOOL_SCHEDULER='lsf' is no scheduler that pypool knows: give one of {known}."
    )


@pytest.mark.parametrize("text", ['""', "false", "3", '["slurm"]'])
def test_what_is_no_name_is_no_scheduler(world: World, text: str) -> None:
    """It is not passed over."""
    world.write("user", f"scheduler = {text}\n")
    assert "is no scheduler that pypool knows" in world.mistake()


def test_the_class_goes_before_settings(world: World) -> None:
    """`scheduler = ...` in a file or variable is what `pypool.Pool` takes, no more."""
    world.write("site", '[profile.p]\nscheduler = "sge"\n')
    world.write("user", 'scheduler = "sge"\nprofile = "p"\n')
    world.environment["PYPOOL_SCHEDULER"] = "shell"
    settings = world.gather()
    assert settings.choose(None) == "shell"
    assert settings.choose("slurm") == "slurm"


def test_a_profile_that_was_asked_for_is_for_its_scheduler(world: World) -> None:
    """Its options would mean nothing to another one, so the class cannot go before it."""
    path = world.write("user", '[profile.p]\nscheduler = "sge"\n')
    settings = world.gather(profile="p")
    assert settings.choose(None) == settings.choose("sge") == "sge"
    with pytest.raises(ValueError) as caught:
        settings.choose("slurm")
    assert str(caught.value) == (
        f"profile='p' ({path}, [profile.p]) is for scheduler='sge', and this is a "
        "pypool.slurm.Pool: take pypool.Pool, or another profile"
    )
    world.environment["PYPOOL_PROFILE"] = "p"
    with pytest.raises(ValueError, match=r"^PYPOOL_PROFILE: profile='p'"):
        world.gather().choose("slurm")


def test_a_profile_without_a_scheduler_is_for_all(world: World) -> None:
    """The file's own scheduler is no part of it."""
    world.write("user", 'scheduler = "sge"\n[profile.p]\nqueue = "q"\n')
    assert world.gather(profile="p").choose("slurm") == "slurm"


# ---- variables


def test_every_option_has_its_variable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """PYPOOL_ and its name in capital letters."""
    monkeypatch.setenv("HOME", "/home/somebody")
    for option, text, _ in FROM_TEXT:
        world.environment[f"PYPOOL_{option.upper()}"] = text
    found = world.options("sge")
    assert {option: getattr(found, option) for option, _, _ in FROM_TEXT} == {
        option: held for option, _, held in FROM_TEXT
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("PYPOOL_PROCESSES", "four", "PYPOOL_PROCESSES: processes='four' must be an integer"),
        ("PYPOOL_TIME", "soon", "PYPOOL_TIME: time='soon' is not understood"),
        ("PYPOOL_KEEP", "al", "PYPOOL_KEEP: keep='al' must be"),
        ("PYPOOL_VERBOSE", "2", "PYPOOL_VERBOSE: verbose='2' must be one of"),
        ("PYPOOL_ENV", "NOT_SET_HERE", "PYPOOL_ENV: env names 'NOT_SET_HERE'"),
        ("PYPOOL_SETUP", "echo 'a\nb", "PYPOOL_SETUP: setup is no shell that bash can read"),
        ("PYPOOL_DIRECTIVES", "-x\ny", "PYPOOL_DIRECTIVES: directives: 'y' is no option"),
    ],
)
def test_a_mistake_in_a_variable_names_it(world: World, name: str, text: str, message: str) -> None:
    """So that it is found."""
    world.environment[name] = text
    assert world.mistake().startswith(message)


def test_an_empty_variable_says_nothing(world: World) -> None:
    """As if it were not set."""
    world.write("user", 'queue = "q"\n')
    world.environment |= {"PYPOOL_QUEUE": "", "PYPOOL_PROCESSES": "", "PYPOOL_SCHEDULER": ""}
    found = world.options()
    assert (found.queue, found.processes, world.gather().scheduler) == ("q", 64, None)


def test_unknown_variables_are_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """With the nearest one that means something; our own mean something already."""
    world.environment |= {"PYPOOL_QUEU": "a", "PYPOOL_Time": "b", "PYPOOL_ELEMENT": "3"}
    world.environment |= {"PYPOOL_TEST_SESSION": "c", "PYPOOLING": "d"}
    world.gather()
    world.gather()
    assert sorted(record.message for record in caplog.records) == [
        "the variable PYPOOL_QUEU means nothing to pypool: did you mean PYPOOL_QUEUE?",
        "the variable PYPOOL_Time means nothing to pypool: did you mean PYPOOL_TIME?",
    ]


# ---- progress and verbose


def test_verbose_is_another_word_for_progress(world: World) -> None:
    """In programs, variables and files; a stronger one of either goes before a weaker one."""
    world.write("site", "verbose = true\n")
    assert world.options().progress is True
    world.environment["PYPOOL_PROGRESS"] = "no"
    assert world.options().progress is False
    assert world.options(verbose=True).progress is True
    assert world.options(verbose=1, progress=True).progress is True


def test_contradicting_words_are_refused(world: World) -> None:
    """Nobody knows which is meant."""
    both = "progress=True and verbose=False mean the same: give one"
    assert world.mistake(progress=True, verbose=False) == both
    assert world.mistake(verbose="yes") == "verbose='yes' must be True or False"
    path = world.write("user", "progress = true\nverbose = false\n")
    assert world.mistake() == f"{path}: {both}"
    world.environment |= {"PYPOOL_PROGRESS": "1", "PYPOOL_VERBOSE": "0"}
    assert world.mistake() == f"the environment: {both}"


# ---- mistakes in files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('queu = "q"', "PATH: 'queu' is no option. Did you mean 'queue'? Options are account, "),
        ('Queue = "q"', "PATH: 'Queue' is no option. Did you mean 'queue'?"),
        ("[slurm]", "PATH: 'slurm' is no option."),
        ("[profile.p]\ntiem = 3", "PATH, [profile.p]: 'tiem' is no option. Did you mean 'time'?"),
        ('[profile.p]\nprofile = "q"', "PATH, [profile.p]: 'profile' is no option."),
        ('profile.p = "q"', "PATH: profile.p must be a table of options. A file that has tables"),
        ('profile = "p"\n[profile.p]', "PATH is no TOML: Cannot overwrite a value (at line 2, "),
        ("profile = 3", "PATH: profile=3 must be the name of a profile"),
        ('time = "soon"', "PATH: time='soon' is not understood: give seconds"),
        ("time = 01:30:00", "PATH: time=datetime.time(1, 30) is of the wrong type: give seconds"),
        ("cpus = 2.0", "PATH: cpus=2.0 must be an integer, at least 1"),
        ("cpus = true", "PATH: cpus=True must be an integer, at least 1"),
        ("env = {A = 1}", "PATH: env: 'A' = 1 must be two strings"),
        ('work_dir = ""', "PATH: work_dir='' must not be empty"),
        ('work_dir = "~nobody-of-this-name/x"', "PATH: work_dir='~nobody-of-this-name/x': it is"),
        ("verbose = 3", "PATH: verbose=3 must be True or False"),
        ("queue = ", "PATH is no TOML: Invalid value (at line 1, column 9)"),
        ('queue = "a', "PATH is no TOML: "),
        ("a = " + "[" * 5000, "PATH is no TOML: "),
    ],
)
def test_a_mistake_in_a_file_names_file_and_key(world: World, text: str, message: str) -> None:
    """And the nearest valid key, or what would do."""
    path = world.write("user", text + "\n")
    assert world.mistake().startswith(message.replace("PATH", str(path)))


def test_who_chooses_a_profile_where_some_are_defined_is_told_how(world: World) -> None:
    """TOML itself knows only that a key stands there twice."""
    world.write("user", 'profile = "p"\n[profile.p]\nqueue = "q"\n')
    assert world.mistake().endswith(
        "A file that has tables [profile.NAME] cannot choose one: give defaults above all "
        "tables, or choose by PYPOOL_PROFILE"
    )


def test_profiles_that_nobody_chose_are_looked_at_as_well(world: World) -> None:
    """A mistake there is found before it is needed; values are not: they may suit other places."""
    world.write("user", '[profile.p]\ntime = "soon"\nenv = ["NOT_SET_HERE"]\n')
    assert world.options().time is None
    assert "[profile.p]: time='soon'" in world.mistake(profile="p")


def test_a_file_that_is_not_in_utf_8_is_named(world: World) -> None:
    """It is no TOML."""
    path = world.write("user", "")
    path.write_bytes(b'queue = "\xff"\n')
    assert world.mistake() == f"{path} is no TOML: it is not in UTF-8 (invalid start byte)"


@pytest.mark.skipif(AS_ROOT, reason="root may read everything")
@pytest.mark.parametrize("whose", ["project", "user", "site"])
def test_a_file_that_cannot_be_read_is_named(world: World, whose: str) -> None:
    """Who has settings is not to run without them."""
    path = world.write(whose, 'queue = "q"\n')
    path.chmod(0)
    assert world.mistake() == f"{path} cannot be read: Permission denied"


@pytest.mark.skipif(AS_ROOT, reason="root may look everywhere")
def test_a_folder_that_is_closed_has_no_file(world: World) -> None:
    """As after `su`, with the home of somebody else."""
    world.write("user", 'queue = "q"\n')
    closed = world.folders["user"].parent
    closed.chmod(0)
    try:
        assert world.options().queue is None
    finally:
        closed.chmod(0o700)


@pytest.mark.parametrize("whose", ["project", "user", "site"])
def test_a_folder_of_that_name_is_no_file(world: World, whose: str) -> None:
    """It is passed over."""
    (world.folders[whose] / FILE).mkdir()
    assert world.options().queue is None


def test_without_home_or_working_directory_the_others_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program whose directory was removed can still ask for workers."""
    world.write("site", 'queue = "q"\n')
    gone = world.project / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    del world.environment["HOME"]
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    found = config.gather({"work_dir": "/w"}, world.environment)
    assert found.options("slurm", lambda cpus: 1).queue == "q"
    for scheduler in ("local", "serial"):
        assert config.gather({}, {}).options(scheduler, lambda cpus: 1).processes == 1


# ---- whom to trust


@pytest.mark.parametrize(
    ("file", "folder", "taken"),
    [
        (0o600, 0o700, True),
        (0o664, 0o775, True),
        (0o666, 0o700, False),
        (0o644, 0o777, True),
    ],
)
def test_a_file_that_everybody_can_write_is_left_alone(
    world: World, file: int, folder: int, taken: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the folder: what counts is whose the file is."""
    path = world.write("project", 'queue = "q"\n')
    path.chmod(file)
    world.project.chmod(folder)
    for _ in range(2):
        assert world.options().queue == ("q" if taken else None)
    said = [] if taken else [f"{path} is left alone: everybody can write to it"]
    assert [record.message for record in caplog.records] == said


@pytest.mark.parametrize("which", ["file", "link"])
def test_a_file_or_link_of_somebody_else_is_left_alone(
    world: World,
    which: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who can put a link there chooses what it leads to; one that is named is meant."""
    path = world.write("project", 'queue = "q"\n')
    if which == "link":
        path.rename(world.project / "other.toml")
        path.symlink_to(world.project / "other.toml")
    real: Callable[..., os.stat_result] = Path.lstat if which == "link" else Path.stat
    monkeypatch.setattr(Path, real.__name__, lambda self, **more: of_nobody(real(self, **more)))
    assert world.options().queue is None
    told = [record.message for record in caplog.records]
    assert told == [f"{path} is left alone: it belongs to somebody else"]
    world.environment["PYPOOL_CONFIG"] = str(path)
    assert world.options().queue == "q"


def of_nobody(found: os.stat_result) -> os.stat_result:
    """The same, but somebody else's."""
    return os.stat_result([*found[:4], 65534, *found[5:]])


def test_the_search_goes_on_above_a_file_that_is_left_alone(world: World) -> None:
    """It does not hide the project's own."""
    world.write("project", 'queue = "q"\n')
    below = world.project / "below"
    below.mkdir()
    (below / FILE).write_text('queue = "anybody"\n')
    (below / FILE).chmod(0o666)
    settings = world.gather(directory=below)
    assert settings.options("slurm", lambda cpus: 1).queue == "q"


# ---- what a scheduler has no use for


def test_options_without_use_are_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A program that makes many pools says it once, and files of other places say it softly."""
    caplog.set_level(logging.INFO, "pypool")
    path = world.write("user", 'account = "a"\n')
    for _ in range(2):
        assert world.options("shell", queue="q", memory="1G").queue == "q"
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "a shell pool has no use for memory, queue"),
        ("INFO", f"a shell pool has no use for account (from {path})"),
    ]


@pytest.mark.parametrize(
    ("scheduler", "line", "word"),
    [
        ("slurm", "--array=0-3", "numbers the elements"),
        ("slurm", "--exclusive -a0-3", "numbers the elements"),
        ("slurm", "-J x", "give name="),
        ("slurm", "--job-name x", "give name="),
        ("slurm", "--output=/x", "looks for logs there"),
        ("sge", "-t 1-4", "numbers the elements"),
        ("sge", "-l gpu=1 -N x", "give name="),
        ("sge", "-o /x", "looks for logs there"),
    ],
)
def test_directives_that_would_count_for_nothing_are_refused(
    world: World, scheduler: str, line: str, word: str
) -> None:
    """The scheduler takes what pypool itself says of the array, without a word."""
    path = world.write("user", f"directives = {toml(line)}\n")
    with pytest.raises(ValueError) as caught:
        world.options(scheduler)
    start = re.escape(f"{path}: directives: {line!r} cannot be given: ")
    assert re.match(start + f".*{word}", str(caught.value))


@pytest.mark.parametrize(
    ("scheduler", "line"),
    [
        ("slurm", "--comment='see -Job and --array=1'"),
        ("slurm", "--open-mode=truncate"),
        ("slurm", "--comment='open"),
        ("sge", "-tc 5"),
        ("sge", "-ot x"),
        ("shell", "--array=1"),
    ],
)
def test_other_directives_are_the_users_affair(world: World, scheduler: str, line: str) -> None:
    """Words that only look alike are not taken for those."""
    assert world.options(scheduler, directives=line).directives == (line,)
