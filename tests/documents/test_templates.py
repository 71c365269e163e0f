"""The page of templates, and the templates' own heads, agree with the code."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import jinja2
import pytest

from pypool import SubmitError
from pypool.engine import jobscript
from pypool.engine.templates import TEMPLATES
from pypool.options import Options
from pypool.picking import SCHEDULERS

from .pages import REFERENCE, after, blocks, code_in, rows, section

PAGE = REFERENCE / "templates.md"
VARIABLES = rows(section(PAGE, "## Variables"))
EVERYTHING = Options(
    processes=4,
    work_dir="/work",
    workers_per_element=2,
    queue="short",
    account="physics",
    time=3600.0,
    memory=300 << 30,
    cpus=2,
    gpus=1,
    parallel_environment="smp",
    directives=("--extra",),
    setup=("true",),
    teardown=("true",),
    python=sys.executable,
)
TYPES = {"str": str, "int": int, "list of str": list}


def render(options: Options, scheduler: str = "slurm") -> str:
    return jobscript.render(SCHEDULERS[scheduler](), options, "/run", None)


def heads(name: str) -> dict[str, str]:
    """The variables in the comment that begins a template, with their types."""
    head = (TEMPLATES / name).read_text().split("-#}")[0]
    found = re.findall(r"^      (\w+) +(list of str|(?:str|int)(?: or none)?)(?:;|  )", head, re.M)
    return dict(found)


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_page_lists_all_variables(scheduler: str) -> None:
    """Names and types are those that a template gets; what may be none is none if not given."""
    given = jobscript.variables(SCHEDULERS[scheduler](), EVERYTHING, "/run", None)
    bare = jobscript.variables(SCHEDULERS[scheduler](), Options(4, "/work"), "/run", None)
    assert sorted(code_in(row[0])[0] for row in VARIABLES) == sorted(given)
    for row in VARIABLES:
        name, kind = code_in(row[0])[0], row[1].removesuffix(" or none")
        assert isinstance(given[name], TYPES[kind])
        assert (bare[name] is None) == (kind != row[1])


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_page_and_templates_say_the_same(scheduler: str) -> None:
    """A template's head lists what the page says it uses, with the same types."""
    for_all = {code_in(row[0])[0]: row[1] for row in VARIABLES if row[4] == "all"}
    own = {code_in(row[0])[0]: row[1] for row in VARIABLES if scheduler in code_in(row[4])}
    assert heads("_base.sh.j2") == for_all
    assert heads(f"{scheduler}.sh.j2") == own


def test_page_lists_all_filters() -> None:
    """Those that our templates use besides Jinja's own."""
    used = {
        name
        for path in TEMPLATES.glob("*.j2")
        for name in re.findall(r" \| (\w+)", path.read_text())
    }
    told = {code_in(row[0])[0] for row in rows(section(PAGE, "## Filters"))}
    assert told == used - set(jinja2.Environment().filters)


def test_extended_template_does_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has all lines of the one that it extends, and its own before the first command."""
    monkeypatch.chdir(tmp_path)
    Path("mine.sh.j2").write_text(blocks(PAGE, "jinja")[0].text)
    plain = render(EVERYTHING).splitlines()
    lines = render(replace(EVERYTHING, template="mine.sh.j2")).splitlines()
    added = [line for line in lines if line not in plain]
    assert added == [
        "#SBATCH --constraint=bigmem",
        "#SBATCH --cpus-per-gpu=8",
        "#SBATCH --comment='run in /run'",
    ]
    assert [line for line in lines if line not in added] == plain
    assert lines.index("true") > lines.index(added[-1])


def test_page_shows_the_message_of_a_typo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message on the page is what is raised, but for the directory."""
    monkeypatch.chdir(tmp_path)
    template = (
        blocks(PAGE, "jinja")[1].text.replace("directive", "quote").replace("queue ", "queu ")
    )
    Path("mine.sh.j2").write_text("\n\n\n" + template)
    with pytest.raises(SubmitError) as raised:
        render(replace(EVERYTHING, template="mine.sh.j2"))
    said = str(raised.value).replace(f"{tmp_path}/", "")
    shown = after(PAGE, "message").replace("?", ".")
    assert shown.split() == said.replace("?", ".").split()


def test_own_template_is_found_by_the_name_of_the_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of that name among the user's templates is taken without any option."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    own = tmp_path / "pypool" / "templates"
    own.mkdir(parents=True)
    (own / "slurm.sh.j2").write_text(
        '{% extends "pypool/slurm.sh.j2" %}{% block index %}7{% endblock %}'
    )
    assert '"elements/$1/7"' in render(EVERYTHING)
