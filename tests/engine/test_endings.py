"""What the end of a program means for pools that have jobs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("ending_script.py")
TIMEOUT = 30.0
SIGNALS = [signal.SIGTERM, signal.SIGHUP]

both = pytest.mark.parametrize("number", SIGNALS)


@contextmanager
def started(program: str, *before: str) -> Iterator["subprocess.Popen[str]"]:
    """A program that has said that it is ready."""
    process = subprocess.Popen(
        [*before, sys.executable, str(SCRIPT), program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert "ready\n" in lines, process.stderr and process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate()


def output_of(program: str) -> list[str]:
    """What it prints up to its end."""
    done = subprocess.run(
        [sys.executable, SCRIPT, program], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@both
def test_signal_ends_pools_and_program(number: int) -> None:
    """Named runs go on, others are cancelled, and the exit status is the signal's."""
    with started("Noting(); Noting(named=True); Noting(signals=False); be_ready()") as process:
        process.send_signal(number)
        output, errors = process.communicate(timeout=TIMEOUT)
    assert sorted(output.splitlines()) == [
        "detach named=True",
        "terminate named=False",
        "terminate named=False",
    ]
    assert (process.returncode, errors) == (-number, "")


@both
def test_second_signal_ends_at_once(number: int) -> None:
    """Whoever does not want to wait for what hangs says it again."""
    with started("Noting(hangs=True); be_ready()") as process:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.readline() == "terminate named=False\n"
        process.send_signal(number)
        assert process.wait(TIMEOUT) == -number


def test_patience_ends() -> None:
    """A pool that hangs holds the program up for a bounded time."""
    with started("endings.PATIENCE = 0.2; Noting(hangs=True); be_ready()") as process:
        process.terminate()
        assert process.wait(TIMEOUT) == -signal.SIGTERM


@both
def test_own_handler_is_kept(number: int) -> None:
    """A program that has a handler knows what to do."""
    program = """
def handler(number, frame):
    os.write(1, b"mine\\n")  # the program may be just printing
for each in endings.SIGNALS:
    signal.signal(each, handler)
noting = Noting()
print("ready", flush=True)
while not select.select([0], [], [], 0.05)[0]:  # a signal just before a read waits with it
    pass
noting.stop("close")
noting.join()
print(handlers(), flush=True)
"""
    with started(program) as process:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.readline() == "mine\n"
        output, _ = process.communicate("\n", timeout=TIMEOUT)
    assert process.returncode == 0
    assert output.splitlines() == ["close named=False", "other other"]


def test_handler_set_later_is_kept() -> None:
    """So does one that sets a handler while a pool lives."""
    program = """
noting = Noting()
signal.signal(signal.SIGTERM, lambda number, frame: None)
noting.stop("close")
noting.join()
print(handlers())
"""
    assert output_of(program) == ["close named=False", "other default"]


def test_nohup_is_respected() -> None:
    """With `nohup` the end of the session ends nothing."""
    with started("Noting(); print(handlers()); be_ready()", "nohup") as process:
        process.send_signal(signal.SIGHUP)
        process.terminate()
        output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == -signal.SIGTERM
    assert output.splitlines() == ["terminate named=False"]


def test_handlers_go_with_the_last_pool() -> None:
    """They are there while there is a pool with jobs, and no longer."""
    program = """
print(handlers())
local = Noting(signals=False)
print(handlers())
pools = [Noting(), Noting()]
print(handlers())
for pool in pools:
    pool.stop("close")
    pool.join()
    print(handlers())
"""
    assert output_of(program) == [
        "default default",
        "default default",
        "ours ours",
        "close named=False",
        "ours ours",
        "close named=False",
        "default default",
        "terminate named=False",  # at the end of the program
    ]


@both
def test_signal_after_the_last_pool(number: int) -> None:
    """A handler that nobody could remove ends the program as if it were not there."""
    program = "pool = Noting(); pool.stop('close'); pool.thread.join(); be_ready()"
    with started(program) as process:
        process.send_signal(number)
        assert process.wait(TIMEOUT) == -number


def test_other_threads_set_no_handler() -> None:
    """Python sets handlers in the main thread only."""
    program = """
thread = threading.Thread(target=Noting)
thread.start()
thread.join()
print(handlers())
"""
    assert output_of(program) == ["default default", "terminate named=False"]


@both
def test_forks_end_nothing(number: int) -> None:
    """A fork of the program has no pools and no handlers."""
    program = f"""
pool = Noting()
child = os.fork()
if not child:
    print(handlers(), flush=True)
    time.sleep(60)
os.kill(child, {int(number)})
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    told = output_of(program)
    assert told[-2:] == [str(-number), "terminate named=False"]
    assert set(told[:-2]) <= {"default default"}


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_end(start: str, tmp_path: Path) -> None:
    """`terminate` of a process of multiprocessing does what it always does."""
    program = f"""
import multiprocessing
context = multiprocessing.get_context({start!r})
pool = Noting()
process = context.Process(target=time.sleep, args=(60,))
process.start()
process.terminate()
process.join()
print(process.exitcode)
"""
    assert output_of(program) == ["-15", "terminate named=False"]


@pytest.mark.parametrize("number", SIGNALS)
def test_prompt(number: int) -> None:
    """At a prompt, which waits for a line, they work as well."""
    process = subprocess.Popen(
        [sys.executable, "-iqu", "-c", "from ending_script import *; pool = Noting()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=SCRIPT.parent,
        env=os.environ,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("print('ready')\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(TIMEOUT) == -number
    output, _ = process.communicate()
    assert output == "terminate named=False\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize(
    ("end", "well"), [("pass", True), ("sys.exit(3)", True), ("raise LookupError", False)]
)
def test_children_of_multiprocessing_end_their_pools(
    tmp_path: Path, method: str, end: str, well: bool
) -> None:
    """They end without what `atexit` calls. Of a named run all is said that a program says."""
    program = f"""
import multiprocessing, os, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
from ending_script import Noting, endings

def child():
    Noting()
    endings.finish_with_program("a run", lambda well: os.write(1, b"ended well: %d\\n" % well))
    {end}

if __name__ == "__main__":
    process = multiprocessing.get_context({method!r}).Process(target=child)
    process.start()
    process.join()
"""
    script = tmp_path / "program.py"
    script.write_text(program)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    assert done.stdout.splitlines() == ["terminate named=False", f"ended well: {well:d}"]
