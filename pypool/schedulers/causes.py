"""Why an element ended without a word: guessed from its exit code, the scheduler's, and its log.

Each guess is one sentence that names what was seen and what can be done about it. What a shell,
Python and the agent say is the same everywhere and stands here; what a scheduler says of its own
stands in its adapter.
"""

import re
from collections.abc import Sequence

from pypool.schedulers.base import Cause, ElementState

OWNED = "5"
REFUSED = "3"
"""Exit codes of our agents."""

Guess = tuple[str, str]
"""A pattern, searched in what is known, and a sentence in which {0} is its first group."""

OUT_OF_MEMORY = re.compile(r"oom-kill event|oom_kill event|[Ee]xceeded (?:job )?memory limit")
SECOND = re.compile(r"^pypool: \S+ has an owner already", re.MULTILINE)

OF_LOGS: Sequence[Guess] = (
    (
        r"can't open file '([^']*/worker/start\.py)'",
        "pypool is not there on the node ({0}): it has to lie where all nodes see it",
    ),
    (
        r"(?:ModuleNotFoundError|ImportError): (.+)",
        "a module is missing in the node's Python ({0}): python= names the interpreter",
    ),
    (
        r"(?m)^(?:.*: )?([^\s:]+): bad interpreter",
        "the job script or python= begins with an interpreter that the node does not have ({0})",
    ),
    (
        r"bad interpreter",
        "the job script begins with an interpreter that the node does not have",
    ),
    (
        r"error while loading shared libraries: ([^\s:]+)",
        "a library is missing on the node ({0}): a module may have to be loaded in setup=",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "a disk is full, or a quota used up",
    ),
    (
        r"(?m)^(?!pypool:).*?couldn't chdir to [`']?([^\s'`:]+)",
        "a directory is not visible on the node ({0})",
    ),
    (
        r"(?m)line (\d+): .*(?:syntax error|unexpected end of file|unexpected EOF)",
        "line {0} of the job script is not in order: see setup=, teardown= and the template",
    ),
)

MISSING = r": (?:exec: )?(?:cannot execute: )?(?:No such file|command not found|not found)"

OF_127: Sequence[Guess] = (
    (
        rf"(?m)(?:^|: )([^\s:]*(?:python|pypy)[^\s:]*){MISSING}",
        "the Python of the job script is not there on the node ({0}): python= names another one",
    ),
    (
        rf"(?m)(?:^|: )([^\s:]+){MISSING}",
        "a program of the job script is not there on the node ({0})",
    ),
)


def of(state: ElementState, log: str, own: Sequence[Guess] = ()) -> Cause:
    """The cause of an end.

    Parameters
    ----------
    log : str
        The last lines of the element's log.
    own : sequence of Guess
        What the scheduler's own words mean; searched in its reason and exit code.
    """
    code = state.code.partition(":")[0]
    if code == OWNED or (state.phase == "ended" and not state.code and _came_second(log)):
        return Cause(state.word, intruder=True)
    if OUT_OF_MEMORY.search(log) or OUT_OF_MEMORY.search(state.reason):
        return Cause("out of memory", "the element needed more memory than it had: memory=")
    by_scheduler = _first(own, f"{state.reason} {state.code}")
    likely = by_scheduler or _by_code(code, log) or _first(OF_LOGS, log) or _agents_word(code, log)
    return Cause(state.word, likely)


def _came_second(log: str) -> bool:
    """That is the last thing in the log."""
    return bool(SECOND.match(log.rstrip().rpartition("\n")[2]))


def _by_code(code: str, log: str) -> str:
    if code == "127":
        return _first(OF_127, log) or "a program of the job script is not there on the node"
    if code == "126":
        return "a program of the job script cannot be run on the node: Permission denied"
    return ""


def _agents_word(code: str, log: str) -> str:
    """An agent that cannot serve says why."""
    said = re.findall(r"(?m)^pypool: (.+)$", log)
    if code != REFUSED or not said:
        return ""
    if "No such file or directory" in said[-1]:
        return f"the run directory is not visible on the node ({said[-1]}): see work_dir="
    return str(said[-1])


def _first(guesses: Sequence[Guess], text: str) -> str:
    for pattern, sentence in guesses:
        found = re.search(pattern, text)
        if found:
            return sentence.format(*(found.groups() or ("",)))
    return ""
