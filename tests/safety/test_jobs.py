"""A job id that has been given to another job meanwhile: that one is not cancelled."""

import logging
import shlex
import subprocess
from pathlib import Path

import pytest
from pool import tasks
from pool.conftest import MakePool

from pypool.engine.elements.away import Away
from pypool.engine.elements.cancelling import Cancelling
from pypool.schedulers.base import Scheduler, wait
from pypool.schedulers.sge import Sge
from pypool.schedulers.slurm import Slurm

from .threats import against

TITLE = "Somebody else's job"
QSTAT = """<?xml version='1.0'?><job_info><queue_info><job_list state="running">
<JB_job_number>7</JB_job_number><JB_name>pypool-0a0a</JB_name><state>r</state><tasks>1</tasks>
</job_list></queue_info><job_info><job_list state="pending">
<JB_job_number>8</JB_job_number><JB_name>precious</JB_name><state>qw</state><tasks>1-3:1</tasks>
</job_list></job_info></job_info>"""

CLUSTERS = [
    pytest.param("slurm", marks=pytest.mark.slurm),
    pytest.param("sge", marks=pytest.mark.sge),
]


@pytest.fixture
def cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was cancelled: commands that know job 7, which is ours, and 8, which is not any more."""
    log = tmp_path / "cancelled"
    log.touch()
    answers = {
        "squeue": "7|pypool-0a0a\n8|precious\n8|with|a\nbar\n",
        "qstat": QSTAT,
    }
    for name, answer in answers.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nprintf '%s' {shlex.quote(answer)}\n")
    for name in ("scancel", "qdel"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "$@" >>{shlex.quote(str(log))}\n')
    for name in (*answers, "scancel", "qdel"):
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return log


@against(TITLE)
@pytest.mark.parametrize("scheduler", [Slurm(), Sge()], ids=["slurm", "sge"])
@pytest.mark.parametrize(
    ("jobs", "elements", "expected"),
    [
        (["7"], [], "7"),
        (["8"], [], ""),
        (["7", "8"], [], "7"),
        (["8", "9"], [], "9"),  # not listed any more: it can be nobody else's
        ([], [("8", 1)], ""),
        ([], [("7", 0), ("8", 1)], "7"),
    ],
)
def test_only_what_has_our_name_is_cancelled(
    cancelled: Path,
    caplog: pytest.LogCaptureFixture,
    scheduler: Scheduler,
    jobs: list[str],
    elements: list[tuple[str, int]],
    expected: str,
) -> None:
    """By its id, once its name has told that it is ours; of another one a line tells."""
    tokens = {"7": "0a0a", "8": "0b0b", "9": "0c0c"}
    cancelling = Cancelling(scheduler, Away(scheduler.name), tokens.get)
    with caplog.at_level(logging.WARNING):
        cancelling.cancel(jobs, elements)
        assert cancelling.finish(deadline=float("inf"))
    words = cancelled.read_text().split()
    assert [word.split("_")[0].split(".")[0] for word in words] == expected.split()
    told = "job 8 is now called" in caplog.text
    assert told == ("8" in {*jobs, *(job for job, _ in elements)})


@against(TITLE)
@pytest.mark.parametrize("backend", CLUSTERS, indirect=True)
def test_the_scheduler_tells_the_names_of_jobs(
    backend: str, make_pool: MakePool, shared_dir: Path
) -> None:
    """Those of ours hold a token, by which they are told from a job with an id of long ago."""
    submit = {
        "slurm": ["sbatch", "--parsable", "--hold", "--job-name=a|b", "--output=/dev/null"],
        "sge": ["qsub", "-terse", "-h", "-N", "a_b", "-o", "/dev/null", "-j", "y"],
    }[backend]
    script = shared_dir / "job.sh"
    script.write_text("#!/bin/bash\nsleep 1\n")
    done = subprocess.run([*submit, str(script)], capture_output=True, text=True, check=True)
    job = done.stdout.strip().partition(".")[0]
    scheduler = {"slurm": Slurm, "sge": Sge}[backend]()
    try:
        names = wait(scheduler.names_of([job]), 30.0)
        assert names is not None
        assert names[job] == ("a|b" if backend == "slurm" else "a_b")
        cancelling = Cancelling(scheduler, Away(backend), {job: "0a0a"}.get)
        cancelling.cancel([job], [])
        assert cancelling.finish(deadline=float("inf"))
        assert wait(scheduler.names_of([job]), 30.0) == names
    finally:
        wait(scheduler.cancel([job], []), 30.0)
    assert make_pool(processes=1).map_async(tasks.square, [2]).get(tasks.PATIENCE) == [4]
