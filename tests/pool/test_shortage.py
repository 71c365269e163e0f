"""The program has used up its open files for a moment: calls take longer, and that is all."""

import pytest

from .conftest import BACKENDS
from .scripts import Driver


@pytest.mark.parametrize("backend", BACKENDS[:2])
def test_open_files_that_run_out_are_waited_for(driver: Driver) -> None:
    """A line says so; each task is answered once, as soon as files can be opened again."""
    program = """
        import logging, resource, threading

        class Listening(logging.Handler):
            def emit(self, record):
                if "Too many open files" in record.getMessage():
                    said.set()

        def work(number):
            with open(f"begun/{number}", "a") as record:
                record.write("x")
            return bytes(200_000 + number)

        said = threading.Event()
        logging.getLogger("pypool").addHandler(Listening())
        pool = POOL
        pool.map(len, ["a", "b"])
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        result = pool.map_async(work, range(100))
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        assert said.wait(60)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert list(map(len, result.get())) == list(range(200_000, 200_100))
        assert pool.map(len, ["a", "b"]) == [1, 1]
        """
    begun = driver.file("begun")
    begun.mkdir()
    driver.run(program)
    assert [file.stat().st_size for file in begun.iterdir()] == [1] * 100
