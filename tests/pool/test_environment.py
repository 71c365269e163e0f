"""What tasks find: the driver's variables, those that were given, how many threads libraries start.

And timers as usual, though pypool's own are exact.
"""

import hashlib
import os
from pathlib import Path

import pytest

from pypool import Pool
from pypool.engine.variables import THREADS

from . import tasks
from .conftest import MakePool
from .scripts import Driver

CLUSTERS = [pytest.param("shell"), pytest.param("slurm", marks=pytest.mark.slurm)]
on_local_and_clusters = pytest.mark.parametrize(
    "backend", [pytest.param("local"), *CLUSTERS], indirect=True
)
on_clusters = pytest.mark.parametrize("backend", CLUSTERS, indirect=True)
on_shell = pytest.mark.parametrize("backend", ["shell"], indirect=True)
SECRET = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _no_threads_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)


def seen(make_pool: MakePool, *names: str, **options: object) -> list[str | None]:
    """What a task sees of these variables."""
    found: list[str | None] = make_pool(processes=1, **options).map(tasks.environment, names)
    return found


def digest_of(name: str) -> str:
    return hashlib.sha256(os.environ.get(name, "").encode()).hexdigest()


# ---- env


@on_local_and_clusters
def test_what_is_given_arrives(make_pool: MakePool) -> None:
    """Whatever characters it has."""
    values = {
        "PLAIN": "so and so",
        "EMPTY": "",
        "ODD": "a 'b' \"c\" $d `e` \\ é,漢 = #",
        "LINES": "a\nb",
    }
    assert seen(make_pool, *values, env=values) == list(values.values())


@on_local_and_clusters
def test_what_is_given_counts_more_than_the_drivers(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver itself is not touched."""
    monkeypatch.setenv("MY_SETTING", "the driver's")
    assert seen(make_pool, "MY_SETTING", env={"MY_SETTING": "the tasks'"}) == ["the tasks'"]
    assert os.environ["MY_SETTING"] == "the driver's"


@on_clusters
def test_a_secret_travels_only_by_its_name(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks like one stays at home unless it is named."""
    monkeypatch.setenv("API_KEY", SECRET)
    assert seen(make_pool, "API_KEY") == [None]
    assert seen(make_pool, "API_KEY", env=["API_KEY"]) == [SECRET]
    assert seen(make_pool, "API_KEY", env={"API_KEY": "another"}) == ["another"]


@pytest.mark.parametrize("backend", ["local"], indirect=True)
def test_here_tasks_see_what_the_driver_sees(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine nothing travels."""
    monkeypatch.setenv("API_KEY", SECRET)
    assert seen(make_pool, "API_KEY") == [SECRET]


@on_clusters
@pytest.mark.parametrize("given", [["API_KEY"], {"API_KEY": SECRET}])
def test_a_secret_is_in_no_file(
    make_pool: MakePool, shared_dir: Path, monkeypatch: pytest.MonkeyPatch, given: object
) -> None:
    """Nothing of what is kept of a run has it."""
    monkeypatch.setenv("API_KEY", SECRET)
    pool = make_pool(processes=1, env=given, keep="all")
    right = hashlib.sha256(SECRET.encode()).hexdigest()
    assert pool.map(digest_of, ["API_KEY"]) == [right]
    pool.close()
    pool.join()
    (run,) = (shared_dir / "work").iterdir()
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


# ---- threads


@on_local_and_clusters
def test_libraries_start_as_many_threads_as_a_worker_has_cpus(make_pool: MakePool) -> None:
    """By themselves each process would start one for each CPU of the node."""
    assert seen(make_pool, *THREADS, cpus=2) == ["2"] * len(THREADS)


@on_shell
def test_without_cpus_threads_are_left_alone(make_pool: MakePool) -> None:
    """Nobody has said how many there should be."""
    assert seen(make_pool, *THREADS) == [None] * len(THREADS)


@on_local_and_clusters
def test_threads_that_are_set_stay(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the program's environment, or by `env`."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS")
    found = seen(make_pool, *names, cpus=2, env={"MKL_NUM_THREADS": "5"})
    assert found == ["7", "5", "2"]


@on_shell
def test_threads_may_be_set_before_the_first_call(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pools are often made at the top of a program."""
    pool = make_pool(processes=1, cpus=2)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert pool.map(tasks.environment, ["OMP_NUM_THREADS", "MKL_NUM_THREADS"]) == ["7", "2"]


@on_local_and_clusters
def test_the_driver_keeps_its_threads(make_pool: MakePool) -> None:
    """Its environment is its own."""
    seen(make_pool, "OMP_NUM_THREADS", cpus=2, env={"MY_OWN": "1"})
    assert not {"MY_OWN", *THREADS} & os.environ.keys()


def test_strings_have_the_same_hash_in_all_workers(make_pool: MakePool) -> None:
    """So that parts which are made by hashes fit together."""
    pool = make_pool(maxtasksperchild=1)
    found = pool.map(hash, ["some string"] * 12, 1)
    assert len(set(found)) == 1


def test_python_is_optimized_as_the_program(driver: Driver) -> None:
    """Modules that workers import have their assertions or not, as the program's own."""
    driver.file("checks.py").write_text("def check(_):\n    assert False\n")
    program = """
        import checks

        with POOL as pool:
            print(pool.map(checks.check, [1]))
        """
    script = driver.file("optimized.py")
    script.write_text(driver.text(program))
    process = driver.start(program, "-O", script.name)
    output, errors = process.communicate(timeout=60)
    assert output == "[None]\n", errors


def test_a_module_that_maps_when_imported_is_told(driver: Driver) -> None:
    """Workers import it as well: without an end, if nobody stopped them."""
    driver.file("unguarded.py").write_text(
        driver.text(
            """
            def work(number):
                return number

            with POOL as pool:
                RESULT = pool.map(work, range(3))
            """
        )
    )
    output = driver.run(
        """
        import pypool

        try:
            import unguarded
        except pypool.PoolError as error:
            print(error)
        """
    )
    assert 'if __name__ == "__main__"' in output


@pytest.mark.parametrize("backend", ["local", "shell"])
def test_a_working_directory_that_is_gone(driver: Driver) -> None:
    """As in CPython the pool works; a line says once where tasks are run."""
    program = """
        import os

        def where(_):
            return os.getcwd()

        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir(os.getcwd())
        with POOL as pool:
            print(*set(pool.map(where, range(4)) + pool.map(where, range(4))))
        """
    process = driver.start(program)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors == (
        f"the working directory of this program is gone: tasks are run in {output.strip()}\n"
    )


# ---- timers


@pytest.mark.skipif(not Path("/proc/self/timerslack_ns").exists(), reason="Linux has that alone")
def test_tasks_sleep_as_usual(pool: Pool) -> None:
    """Linux lets several sleeps end together; the agent, which waits for short, does without."""
    [slack] = pool.map(tasks.first_line, ["/proc/self/timerslack_ns"])
    assert int(slack) >= 50_000
