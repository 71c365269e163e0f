"""Templates of the user's own: where they are found, and that no mistake in one passes unseen."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pypool
from pypool.engine import jobscript, templates
from pypool.engine.templates import TEMPLATES
from pypool.errors import SubmitError
from pypool.options import make_options
from pypool.picking import SCHEDULERS

EXTENDING = '{% extends "pypool/slurm.sh.j2" %}\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a user and a site that have no templates."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "site"))
    return directory


def render(template: str | Path | None = None, scheduler: str = "slurm", **asked: Any) -> str:
    """The script that is made by a template."""
    given = {"processes": 1, "work_dir": "/work", "python": "/python"} | asked
    if template is not None:
        given["template"] = template
    return jobscript.render(SCHEDULERS[scheduler](), make_options(given, int), "/shared/run")


def mistake(template: str | Path | None = None, **asked: Any) -> str:
    """What is said of it."""
    with pytest.raises(SubmitError) as caught:
        render(template, **asked)
    return str(caught.value)


def write(place: Path, text: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


# ---- where they are found


def test_a_template_is_named_by_its_path(here: Path, tmp_path: Path) -> None:
    """Wherever that leads, whatever it is called."""
    path = write(tmp_path / "else where" / "mine.txt", "#!/bin/bash\n# {{ workers }} workers\n")
    assert render(path) == render("../else where/mine.txt") == "#!/bin/bash\n# 1 workers\n"


PLACES = ("here", "home/.config/pypool/templates", "site/pypool/templates")


@pytest.mark.parametrize("name", ["slurm.sh.j2", "mine.sh.j2"])
@pytest.mark.parametrize("first", range(len(PLACES)))
def test_a_template_is_searched_for_by_its_name(tmp_path: Path, first: int, name: str) -> None:
    """Here, among the user's, the site's; the scheduler's own without anybody naming it."""
    for place in PLACES[first:]:
        write(tmp_path / place / name, f"#!/bin/bash\n# {place}\n")
    named = None if name == "slurm.sh.j2" else name
    assert render(named) == f"#!/bin/bash\n# {PLACES[first]}\n"


def test_what_ships_with_pypool_is_found_last() -> None:
    """With no others it is taken, and it can be named for another scheduler."""
    assert "#SBATCH --output=" in render()
    assert "#SBATCH --output=" not in render("shell.sh.j2")


def test_a_path_that_leads_nowhere_is_an_error(here: Path, tmp_path: Path) -> None:
    """One of that name elsewhere does not take its place."""
    write(here / "slurm.sh.j2", "#!/bin/bash\n")
    write(tmp_path / "own" / "mine.j2", "#!/bin/bash\n")
    told = mistake(tmp_path / "own" / "slurm.sh.j2")
    assert f"there is no template '{tmp_path}/own/slurm.sh.j2'" in told
    assert "Did you mean 'mine.j2'?" in mistake(tmp_path / "own" / "mina.j2")
    assert "cannot be read: Is a directory" in mistake(tmp_path / "own")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_template_that_cannot_be_read_is_named(here: Path) -> None:
    """With the system's reason."""
    path = write(here / "mine.j2", "#!/bin/bash\n")
    path.chmod(0)
    assert f"{path} cannot be read: Permission denied" in mistake(path)


def test_a_name_that_is_nowhere_is_told_with_all_places(here: Path, tmp_path: Path) -> None:
    """And the nearest name, of those that ship with pypool or the user's own."""
    told = mistake("slrum.sh.j2")
    assert "there is no template 'slrum.sh.j2'. Did you mean 'slurm.sh.j2'?" in told
    for place in (*(tmp_path / each for each in PLACES), TEMPLATES):
        assert str(place) in told
    assert "Those that come with pypool are sge.sh.j2, shell.sh.j2, slurm.sh.j2." in told
    write(here / "bigmem.j2", "")
    assert "Did you mean 'bigmem.j2'?" in mistake("bigmen.j2")
    assert "there is no template '..'" in mistake("..")


def test_a_template_that_everybody_can_write_is_left_alone(here: Path) -> None:
    """One that is found runs as shell, so it must not be anybody's; one by path is meant."""
    path = write(here / "slurm.sh.j2", "#!/bin/bash\n# mine\n")
    path.chmod(0o666)
    assert "# mine" not in render()
    assert "# mine" in render("./slurm.sh.j2")


def test_without_a_working_directory_the_other_places_count(here: Path) -> None:
    """A program whose directory was removed can still submit."""
    here.rmdir()
    assert "#SBATCH --output=" in render()


# ---- what they can be made of


def test_a_template_extends_the_one_that_ships_with_pypool(here: Path) -> None:
    """Under the same name as well: `pypool/` finds that one, always."""
    for folder in ("", "pypool/"):
        path = here / folder / "slurm.sh.j2"
        block = "{% block directives %}\n{{ super() -}}\n#SBATCH --exclusive\n{% endblock %}\n"
        write(path, EXTENDING + block)
        lines = render(path, queue="q").splitlines()
        assert lines.index("#SBATCH --exclusive") == lines.index("#SBATCH --partition=q") + 1
        assert lines[-1].startswith("exec /python ")
    assert "#SBATCH --exclusive" in render()


def test_a_template_includes_another_one_beside_it(here: Path, tmp_path: Path) -> None:
    """By name; by a path as well. What is included may use the variables of a loop."""
    write(tmp_path / "own" / "line.j2", "# {{ line }} for {{ workers }}\n")
    text = '#!/bin/bash\n{% for line in setup %}{% include "line.j2" %}{% endfor %}\n'
    path = write(tmp_path / "own" / "mine.j2", text)
    assert render(path, setup=["a", "b"]) == "#!/bin/bash\n# a for 1\n# b for 1\n"
    other = f'#!/bin/bash\n{{% set line = 3 %}}{{% include "{tmp_path}/own/line.j2" %}}\n'
    assert render(write(here / "other.j2", other)).startswith("#!/bin/bash\n# 3 for 1\n")


def test_a_template_has_variables_and_macros_of_its_own(here: Path) -> None:
    """What is set, imported or asked about is no mistake."""
    write(here / "macros.j2", "{% macro option(name) %}#SBATCH --{{ name }}{% endmacro %}")
    text = (
        '#!/bin/bash\n{% from "macros.j2" import option %}\n{% set n = workers * 2 %}\n'
        "{{ option('x') }}={{ n }}{{ later | default('') }}{% if more is defined %}y{% endif %}\n"
    )
    assert render(write(here / "mine.j2", text)) == "#!/bin/bash\n#SBATCH --x=2\n"


def test_a_template_gives_a_variable_to_its_parent(here: Path) -> None:
    """The parent is then none that could be used alone."""
    write(here / "parent.j2", "#!/bin/bash\n# {{ hint }}{% block more %}{% endblock %}\n")
    child = write(here / "child.j2", '{% extends "parent.j2" %}{% set hint = "h" %}\n')
    assert render(child) == "#!/bin/bash\n# h\n"
    assert "'hint' is undefined" in mistake(here / "parent.j2")


@pytest.mark.parametrize(
    ("line", "with_a_queue", "without"),
    [
        ("{% if queue %}-q{% endif %}", "-q\n", ""),
        ("  {% if queue %}-q{% endif %} ", "-q\n", ""),
        ("{% if queue %}-q{% else %}-n{% endif %}", "-q\n", "-n\n"),
        ("{% if queue and time %}{# both #}{% endif %}", "", ""),
        ("{% if queue %}-q{% elif time %}-t{% endif %}", "-q\n", "\n"),
        ("{% if queue %}-q{% endif %}{% if time %}-t{% endif %}", "-q\n", "\n"),
        ("{% if queue %}-q{% endif %} -z", "-q -z\n", " -z\n"),
        ("{% if queue %}\n-q\n{% endif %}", "-q\n", ""),
        ("{% if queue %}-q{% endif %}\r", "-q\n", ""),
        ("-x{% if queue %}=q{% endif %}", "-x=q\n", "-x\n"),
        ("{% for a in (1, 2) %}-{{ a }}{% endfor %}", "-1\n-2\n", "-1\n-2\n"),
        ("-x={% for a in (1, 2) %}{{ a }}{% endfor %}", "-x=12\n", "-x=12\n"),
        ("{% set a = 3 %}", "", ""),
        ("{% set a = 3 %}{% set b = 4 %}", "", ""),
        ("{% if queue -%}\n-q\n{%- endif %}", "-q", ""),
    ],
)
def test_a_line_with_a_condition_ends_where_it_ends(
    here: Path, line: str, with_a_queue: str, without: str
) -> None:
    """It never runs into the next one; one that comes to nothing is not there."""
    path = here / "mine.j2"
    path.write_bytes(f"#!/bin/bash\n{line}\nend\n".encode())
    assert render(path, queue="q") == f"#!/bin/bash\n{with_a_queue}end\n"
    assert render(path) == f"#!/bin/bash\n{without}end\n"


# ---- mistakes

USED = "Templates may use account, cpus, directives, gpu_request, gpus, log, memory, "

BODY = "#!/bin/bash\n# one\n"

MISTAKES = [
    ("{{ quue }}", 3, "'quue' is undefined. Did you mean 'queue'?"),
    ("{{ xyz }}", 3, "'xyz' is undefined. Templates may use"),
    ("{% if gpus %}{{ gpuss }}{% endif %}", 3, "'gpuss' is undefined. Did you mean 'gpus'?"),
    ("{% for l in setp %}{{ l }}{% endfor %}", 3, "'setp' is undefined. Did you mean 'setup'?"),
    ("{{ run | qoute }}", 3, "there is no filter 'qoute'. Did you mean 'quote'?"),
    ("{% if gpus %}{{ run | qoute }}{% endif %}", 3, "there is no filter 'qoute'."),
    ("{% if gpus is nonne %}{% endif %}", 3, "there is no test 'nonne'. Did you mean 'none'?"),
    ("{{ run", 3, "unexpected end of template"),
    ("{% fi queue %}", 3, "Encountered unknown tag 'fi'."),
    ("{% if queue %}", 3, "Unexpected end of template. Jinja was looking for"),
    ("{{ 1 + }}", 3, "unexpected"),
    ("{{ memory // 2 }}", 3, "unsupported operand type(s) for //: 'NoneType' and 'int'"),
    ("{{ workers + run }}", 3, "unsupported operand type(s) for +: 'int' and 'str'"),
    ("{{ workers // 0 }}", 3, "integer division or modulo by zero"),
    ("{{ queue }}", 3, "a value that was not asked for would be written as None: put an if"),
    ("{{ queue | directive }}", 3, "a value that was not asked for would be written as None"),
    ("{{ run.pat }}", 3, "'str object' has no attribute 'pat'"),
    ("{{ setup.pop() }}", 3, "pop from empty list"),
    ('{% include "nothing.j2" %}', 3, "there is no template 'nothing.j2'."),
    ('{% include "mine.j2" %}', 1, "the template names itself as its parent or part"),
    ('{% if gpus %}{% include "broken.j2" %}{% endif %}', 2, "there is no filter 'nno'."),
    ('{% set name = "nothing.j2" %}{% include name %}', 3, "there is no template 'nothing.j2'."),
]


@pytest.mark.parametrize(("line", "number", "message"), MISTAKES)
def test_a_mistake_is_told_with_line_and_file(
    here: Path, line: str, number: int, message: str
) -> None:
    """And the nearest word, even where no value would have led to it."""
    path = write(here / "mine.j2", BODY + line + "\n")
    broken = write(here / "broken.j2", "\n{{ run | nno }}\n")
    told = mistake(path)
    file = broken if "broken" in line else path
    assert told.startswith(f"The job script cannot be made, see line {number} of {file}: {message}")
    assert USED in told


def test_ignoring_what_is_missing_is_no_mistake(here: Path) -> None:
    """Jinja's own word for it."""
    path = write(here / "mine.j2", BODY + '{% include "nothing.j2" ignore missing %}\n')
    assert render(path) == BODY


IN_CHILDREN = [
    (
        "{% block directves %}{% endblock %}",
        2,
        "the parent has no block 'directves'. Did you mean 'directives'? It has directives, index.",
    ),
    ("#SBATCH --exclusive", 2, "this stands in no block and would be lost."),
    ("\n\n#SBATCH --exclusive", 4, "this stands in no block and would be lost."),
    ("{{ queue }}", 2, "this stands in no block and would be lost."),
    ("{% block index %}{{ indx }}{% endblock %}", 2, "'indx' is undefined."),
    ("{% block index %}{% block own %}{% endblock %}{{ x }}{% endblock %}", 2, "'x' is undefined."),
]


@pytest.mark.parametrize(("text", "number", "message"), IN_CHILDREN)
def test_a_mistake_in_what_extends_another_is_told(
    here: Path, text: str, number: int, message: str
) -> None:
    """Jinja alone would pass over most of these."""
    path = write(here / "slurm.sh.j2", EXTENDING + text + "\n")
    place = f"The job script cannot be made, see line {number} of {path}: "
    assert mistake().startswith(place + message)


def test_a_mistake_in_a_parent_is_looked_for_there(here: Path) -> None:
    """The file that is named is the one to correct."""
    parent = write(here / "parent.j2", "#!/bin/bash\n\n{{ rum }}\n")
    write(here / "mine.j2", '{% extends "parent.j2" %}\n')
    told = mistake("mine.j2")
    assert f"line 3 of {parent}: 'rum' is undefined. Did you mean 'run'?" in told


def test_a_parent_that_is_missing_is_told_where_it_is_named(here: Path) -> None:
    """With the places where it was looked for."""
    path = write(here / "mine.j2", '\n{% extends "pypool/slrum.sh.j2" %}\n')
    told = mistake("mine.j2")
    assert f"see line 2 of {path}: there is no template 'pypool/slrum.sh.j2'." in told
    assert f"Did you mean 'slurm.sh.j2'? Looked for in {TEMPLATES}; " in told


def test_a_template_that_extends_itself_is_told_how_it_is_meant(here: Path) -> None:
    """Who copies the name of a template means that which ships with pypool."""
    write(here / "slurm.sh.j2", '{% extends "slurm.sh.j2" %}\n')
    assert "write 'pypool/slurm.sh.j2' for the one that comes with pypool" in mistake()


def test_a_template_that_is_no_text_is_named(here: Path) -> None:
    """With the file."""
    path = here / "mine.j2"
    path.write_bytes(b"#!/bin/bash\n\xff\n")
    assert f"of {path}: no UTF-8" in mistake(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#!/bin/bash\nif true\n", "makes a script that bash cannot read: line "),
        ("#!/bin/bash\necho '{{ run }}\n", "makes a script that bash cannot read: line "),
        ("#!/bin/bash\ncat <<EOF\n", "makes a script that bash cannot read: line "),
        ("\n#!/bin/bash\n", "makes a script that does not begin with '#!'"),
        ("", "makes a script that does not begin with '#!'"),
    ],
)
def test_a_script_that_nobody_can_read_is_refused(here: Path, text: str, message: str) -> None:
    """The template is in order, what it makes is not."""
    path = write(here / "mine.j2", text)
    assert f"The template {path} {message}" in mistake(path)


def test_a_base_of_the_users_own_is_looked_at_as_well(here: Path) -> None:
    """It stands below the templates that ship with pypool."""
    base = write(here / "_base.sh.j2", "#!/bin/bash\n{% block directives %}{% endblock %}\nif\n")
    told = mistake()
    assert "the parent has no block 'index'" in told
    base.write_text(base.read_text() + "{% block index %}{% endblock %}\n")
    assert f"The template {base} makes a script that bash cannot read" in mistake()


# ---- before anything is submitted


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether Slurm was asked for anything."""
    commands = tmp_path / "commands"
    note = tmp_path / "note"
    for command in ("sbatch", "squeue", "scancel", "scontrol"):
        write(commands / command, f"#!/bin/sh\ntouch {note}\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    return note.exists


@pytest.mark.parametrize("line", [row[0] for row in MISTAKES])
def test_a_pool_with_such_a_template_is_not_made(
    here: Path, tmp_path: Path, line: str, submitted: Callable[[], bool]
) -> None:
    """The constructor says what is wrong; nothing is submitted and no directory made."""
    path = write(here / "mine.j2", BODY + line + "\n")
    write(here / "broken.j2", "\n{{ run | nno }}\n")
    work_dir = tmp_path / "work"
    with pytest.raises(SubmitError, match=r"The job script cannot be made, see line \d of "):
        pypool.slurm.Pool(1, work_dir=work_dir, template=path)
    assert not submitted()
    assert not work_dir.exists()


# ---- those that ship with pypool


@pytest.fixture
def spoilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them."""
    copy = tmp_path / "templates"
    copy.mkdir()
    for path in TEMPLATES.glob("*.j2"):
        (copy / path.name).write_text(path.read_text())
    monkeypatch.setattr(templates, "TEMPLATES", copy)
    return copy


@pytest.mark.parametrize(
    ("file", "before", "after", "hint"),
    [
        ("slurm.sh.j2", "queue | directive", "quue | directive", "queue"),
        ("_base.sh.j2", "{{ run |", "{{ rum |", "run"),
    ],
)
def test_a_variable_that_nobody_defines_is_named_with_its_place(
    spoilt: Path, file: str, before: str, after: str, hint: str
) -> None:
    """Who mistypes a name in a template is not given a script with a hole in it."""
    path = spoilt / file
    path.write_text(path.read_text().replace(before, after))
    told = mistake()
    assert re.search(rf"see line \d+ of {path}: '\w+' is undefined. Did you mean '{hint}'\?", told)


def test_a_block_without_an_end_is_an_error_of_the_template(spoilt: Path) -> None:
    """Not of pypool."""
    (spoilt / "slurm.sh.j2").write_text("{% block directives %}")
    assert f"see line 1 of {spoilt}/slurm.sh.j2: Unexpected end of template" in mistake()


def test_a_template_of_ours_that_is_missing_is_named(spoilt: Path) -> None:
    """With the places where it was looked for."""
    (spoilt / "slurm.sh.j2").unlink()
    assert "there is no template 'slurm.sh.j2'" in mistake()
