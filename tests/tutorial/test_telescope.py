"""The telescope of the tutorial: its jobs, its catalogues, and its picture.

The field is observed once for all tests. Who wants to run jobs gets a folder of its own with
links to the runs, because the catalogues are written beside them.
"""

# ruff: noqa: E402 - the telescope is imported only after its libraries turned out to be there

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for library in ("matplotlib", "skimage"):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"the tutorial needs {library}", allow_module_level=True)

import telescope
from telescope.camera import expose
from telescope.catalogue import Source, read_catalogue, write_catalogue
from telescope.detection import THRESHOLD, detect_sources
from telescope.drawing import PICTURE_SIZE
from telescope.jobs import NO_GOOD_EVENTS, THRESHOLD_SIZE, Job, catalogue_path
from telescope.logbook import Run, read_logbook, write_logbook
from telescope.merging import MATCH_RADIUS, MERGED_NAME
from telescope.observation import NUM_EVENTS, read_run
from telescope.pointings import OVERLAP, Box, Pointing, cover_field
from telescope.sky import load_sky
from telescope.stacking import background_level, stack

import pypool

DEMO = Path(telescope.__file__).parents[1] / "demo.py"


POOLS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "serial": lambda: pypool.serial.Pool(),
    "multiprocessing": lambda: multiprocessing.Pool(3),
    "local": lambda: pypool.local.Pool(3),
    "shell": lambda: pypool.shell.Pool(3),
    "slurm": lambda: pypool.slurm.Pool(3),
    "sge": lambda: pypool.sge.Pool(3),
}
NAMES = [
    "local",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("multiprocessing", "serial", "shell")
    ),
    pytest.param("slurm", marks=pytest.mark.slurm),
    pytest.param("sge", marks=pytest.mark.sge),
]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work_dir with all runs and no catalogues; not to be written to."""
    work_dir = tmp_path_factory.mktemp("observed")
    telescope.init(work_dir=work_dir)
    return work_dir


@pytest.fixture
def work_dir(observed: Path, tmp_path: Path) -> Path:
    """A work_dir of the test's own, with links to all runs."""
    return link_runs(observed, tmp_path / "work_dir")


@pytest.fixture(scope="module")
def finished(observed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work_dir with all catalogues, made in a plain loop; not to be written to."""
    work_dir = link_runs(observed, tmp_path_factory.mktemp("finished") / "work_dir")
    for job in telescope.make_jobs(work_dir=work_dir):
        assert telescope.run_job(job) == 0
    telescope.merge_catalogues(work_dir=work_dir)
    return work_dir


@pytest.fixture(scope="module")
def unsplit() -> list[Source]:
    """What is found with a single tile as large as the field, with noise of its own."""
    sky = load_sky()
    broken = np.array([0, 5], dtype=np.int64)
    image = stack(expose(sky, NUM_EVENTS, broken, np.random.default_rng(0)), broken)
    assert image is not None
    return detect_in_field(image)


def link_runs(observed: Path, work_dir: Path) -> Path:
    work_dir.mkdir()
    for path in observed.iterdir():
        os.link(path, work_dir / path.name)
    return work_dir


def detect_in_field(image: np.ndarray[Any, np.dtype[np.float64]]) -> list[Source]:
    rows, columns = image.shape
    return detect_sources(
        image,
        threshold_size=THRESHOLD_SIZE,
        run=0,
        origin=(0, 0),
        field_shape=(rows, columns),
    )


def catalogue_bytes(work_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in work_dir.glob("*catalogue.txt")}


def without_partner(sources: list[Source], others: list[Source]) -> list[Source]:
    """The sources which have no source among the others within the match radius."""
    positions = np.array([(other.x, other.y) for other in others])
    return [
        source
        for source in sources
        if np.hypot(*(positions - (source.x, source.y)).T).min() >= MATCH_RADIUS
    ]


def test_sky_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sky is read from the installed scikit-image, without any connection."""

    def refuse(*args: object) -> None:
        raise AssertionError("tried to connect")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert load_sky().shape == (872, 1000)


def test_job_keys(observed: Path) -> None:
    """A job has exactly four keys, which refer to a run in an absolute work_dir."""
    jobs = telescope.make_jobs(work_dir=observed)
    assert len(jobs) > 24
    for job in jobs:
        assert type(job) is dict
        assert set(job) == {
            "work_dir",
            "basename",
            "broken_events_to_be_skipped",
            "threshold_size",
        }
        assert Path(job["work_dir"]).is_absolute()
        assert (Path(job["work_dir"]) / job["basename"]).is_file()
        assert job["broken_events_to_be_skipped"].dtype == np.int64
        assert type(job["threshold_size"]) is int


def test_observing_again_gives_same_bytes(observed: Path, tmp_path: Path) -> None:
    """Observing the field a second time writes the same files."""
    telescope.init(work_dir=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {p.name for p in observed.iterdir()}
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (observed / path.name).read_bytes(), path.name


def test_broken_events_matter(work_dir: Path, finished: Path) -> None:
    """Only with its broken events skipped does a run show the sources that are in the sky."""
    job = telescope.make_jobs(work_dir=work_dir)[16]
    assert len(job["broken_events_to_be_skipped"]) > 0
    no_events = np.array([], dtype=np.int64)
    telescope.run_job(Job({**job, "broken_events_to_be_skipped": no_events}))
    with_broken = read_catalogue(catalogue_path(work_dir, job["basename"]))
    without_broken = read_catalogue(catalogue_path(finished, job["basename"]))

    run = read_run(work_dir / job["basename"])
    sky = load_sky()
    tile = sky[run.origin[0] :, run.origin[1] :][: run.events.shape[1], : run.events.shape[2]]
    in_sky = detect_sources(
        tile - background_level(tile),
        threshold_size=job["threshold_size"],
        run=0,
        origin=run.origin,
        field_shape=run.field_shape,
    )
    assert len(in_sky) > 20
    assert len(without_partner(without_broken, in_sky)) < 0.1 * len(without_broken)
    assert len(without_partner(with_broken, in_sky)) > 0.5 * len(with_broken)


def test_no_good_event(work_dir: Path) -> None:
    """A run whose events are all broken has its own return code and an empty catalogue."""
    job = telescope.make_jobs(work_dir=work_dir)[0]
    job["broken_events_to_be_skipped"] = np.arange(NUM_EVENTS)
    assert telescope.run_job(job) == NO_GOOD_EVENTS != 0
    assert read_catalogue(catalogue_path(work_dir, job["basename"])) == []


def test_threshold_size(finished: Path, work_dir: Path) -> None:
    """No source is smaller than the threshold size of the job."""
    job = telescope.make_jobs(work_dir=work_dir)[0]
    job["threshold_size"] = 100
    telescope.run_job(job)
    large = read_catalogue(catalogue_path(work_dir, job["basename"]))
    everything = read_catalogue(catalogue_path(finished, job["basename"]))
    assert 0 < len(large) < len(everything)
    assert large == [source for source in everything if source.size >= 100]


@pytest.mark.parametrize(("field_columns", "num_found"), [(40, 1), (60, 0)])
def test_source_on_edge(field_columns: int, num_found: int) -> None:
    """A source at the edge of a tile is left to the neighbour, unless the field ends there."""
    image = np.zeros((30, 40))
    image[10:20, 30:40] = 100.0
    sources = detect_sources(
        image, threshold_size=12, run=1, origin=(0, 0), field_shape=(30, field_columns)
    )
    assert len(sources) == num_found


def test_running_twice_gives_same_bytes(work_dir: Path) -> None:
    """Running a job again writes the same catalogue and leaves nothing else behind."""
    job = telescope.make_jobs(work_dir=work_dir)[0]
    path = catalogue_path(work_dir, job["basename"])
    telescope.run_job(job)
    first = path.read_bytes()
    names = {path.name for path in work_dir.iterdir()}
    telescope.run_job(job)
    assert path.read_bytes() == first
    assert {path.name for path in work_dir.iterdir()} == names


def test_running_at_the_same_time_gives_same_bytes(work_dir: Path, finished: Path) -> None:
    """Running the same job in several processes at once writes the same catalogue."""
    job = telescope.make_jobs(work_dir=work_dir)[0]
    with multiprocessing.Pool(3) as pool:
        assert pool.map(telescope.run_job, [job] * 6, chunksize=1) == [0] * 6
    path = catalogue_path(work_dir, job["basename"])
    assert path.read_bytes() == (finished / path.name).read_bytes()
    assert not list(work_dir.glob(".*"))


@pytest.mark.parametrize("pool_name", NAMES)
def test_pools_agree(pool_name: str, work_dir: Path, finished: Path) -> None:
    """All catalogues have the same bytes whichever pool the jobs are mapped on."""
    jobs = telescope.make_jobs(work_dir=work_dir)
    with POOLS[pool_name]() as pool:
        return_codes = pool.map(telescope.run_job, jobs)
    telescope.merge_catalogues(work_dir=work_dir)
    assert return_codes == [0] * len(jobs)
    assert catalogue_bytes(work_dir) == catalogue_bytes(finished)


def test_patches_tile_the_field() -> None:
    """Each position of the field is in the patch of one pointing, far from its tile's seams."""
    pointings = cover_field((872, 1000))
    owners = np.zeros((872, 1000), dtype=int)
    for pointing in pointings:
        patch, frame = pointing.patch, pointing.frame
        y, x = np.mgrid[0:872, 0:1000]
        owners += (
            (patch.top <= y + 0.5)
            & (y + 0.5 < patch.bottom)
            & (patch.left <= x + 0.5)
            & (x + 0.5 < patch.right)
        )
        for patch_side, frame_side, end in (
            (patch.top, frame.top, 0),
            (patch.left, frame.left, 0),
            (patch.bottom, frame.bottom, 872),
            (patch.right, frame.right, 1000),
        ):
            assert patch_side == frame_side == end or abs(patch_side - frame_side) >= OVERLAP / 2
    assert (owners == 1).all()


def test_merged_equals_unsplit_without_noise(tmp_path: Path) -> None:
    """Without noise the merged catalogue is exactly that of the unsplit field."""
    sky = load_sky()
    image = sky - background_level(sky)
    runs = []
    for number, pointing in enumerate(cover_field((872, 1000)), start=1):
        top, left = int(pointing.frame.top), int(pointing.frame.left)
        run = Run(f"{number:06d}.npz", pointing, ())
        runs.append(run)
        sources = detect_sources(
            image[top : int(pointing.frame.bottom), left : int(pointing.frame.right)],
            threshold_size=THRESHOLD_SIZE,
            run=number,
            origin=(top, left),
            field_shape=(872, 1000),
        )
        write_catalogue(catalogue_path(tmp_path, run.basename), sources)
    write_logbook(tmp_path, runs)

    merged = telescope.merge_catalogues(work_dir=tmp_path)
    write_catalogue(tmp_path / "unsplit.txt", detect_in_field(image))
    unsplit = read_catalogue(tmp_path / "unsplit.txt")
    assert [source._replace(run=0) for source in merged] == unsplit


def test_merged_equals_unsplit_within_noise(finished: Path, unsplit: list[Source]) -> None:
    """The merged catalogue counts as many sources as the unsplit field within 3 percent.

    Noise lifts faint sources over the threshold in the one and not in the other. Of those clearly
    above the thresholds of brightness and size all but 3 percent are found in both: the rest are
    double peaks which noise joins or parts, two unsplit fields differ in as many.
    """
    merged = read_catalogue(finished / MERGED_NAME)
    assert len(merged) == pytest.approx(len(unsplit), rel=0.03)
    for sources, others in ((merged, unsplit), (unsplit, merged)):
        clear = [
            source
            for source in sources
            if source.size >= 2 * THRESHOLD_SIZE and source.peak >= 3 * THRESHOLD
        ]
        assert len(clear) > 300
        assert len(without_partner(clear, others)) <= 0.03 * len(clear)


@pytest.mark.parametrize(
    ("x_left", "x_right"),
    [(101.0, 100.5), (98.0, 98.5), (98.5, 101.0), (101.0, 98.5)],
    ids=["only right claims it", "only left claims it", "both claim it", "none claims it"],
)
def test_source_on_border(x_left: float, x_right: float, tmp_path: Path) -> None:
    """A source which two runs see on either side of their border is counted once."""
    frames = [Box(top=0, left=0, bottom=100, right=140), Box(top=0, left=60, bottom=100, right=200)]
    patches = [
        Box(top=0, left=0, bottom=100, right=100),
        Box(top=0, left=100, bottom=100, right=200),
    ]
    runs = []
    for number, x in enumerate((x_left, x_right)):
        run = Run(f"{number:06d}.npz", Pointing(frames[number], patches[number]), ())
        source = Source(number, x, 50.0, 500.0, 60.0, 20, 6.0, 5.0, 0.0)
        write_catalogue(catalogue_path(tmp_path, run.basename), [source])
        runs.append(run)
    write_logbook(tmp_path, runs)
    assert len(telescope.merge_catalogues(work_dir=tmp_path)) == 1


def test_nothing_is_counted_twice(finished: Path) -> None:
    """No two runs contribute sources at the same position."""
    merged = read_catalogue(finished / MERGED_NAME)
    assert len({source.run for source in merged}) == len(read_logbook(finished))
    for i, source in enumerate(merged):
        for other in merged[:i]:
            distance = math.hypot(source.x - other.x, source.y - other.y)
            assert source.run == other.run or distance >= MATCH_RADIUS


def test_largest_source_fits_into_overlap(finished: Path) -> None:
    """The largest source is smaller than the overlap, so some run sees each source whole."""
    merged = read_catalogue(finished / MERGED_NAME)
    assert 40 < max(source.major for source in merged) < OVERLAP


def test_missing_catalogue_is_an_error(work_dir: Path) -> None:
    """Merging refuses to pass over a run which has no catalogue yet."""
    with pytest.raises(FileNotFoundError, match="000001"):
        telescope.merge_catalogues(work_dir=work_dir)


def test_picture(finished: Path, tmp_path: Path) -> None:
    """The picture is a PNG of the promised size."""
    path = tmp_path / "field.png"
    telescope.draw(work_dir=finished, path=path)
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == PICTURE_SIZE


def test_demo(finished: Path, tmp_path: Path) -> None:
    """The demo ends with the number of sources and the path of the picture."""
    command = [sys.executable, str(DEMO), "--pool", "multiprocessing", "--processes", "2"]
    completed = subprocess.run(
        [*command, "--work-dir", "demo"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    num_sources = len(read_catalogue(finished / MERGED_NAME))
    picture = tmp_path.resolve() / "demo" / "field.png"
    assert completed.stdout.splitlines()[-2:] == [f"sources: {num_sources}", f"picture: {picture}"]
    assert picture.is_file()
