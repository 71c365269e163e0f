"""The pools that the suite knows: where they run, what they need, what they cannot do."""

from typing import NamedTuple

LOCAL = "local"
SLURM = "slurm"
BACKENDS = (LOCAL, SLURM)

OURS = "pypool"
STANDARD = "multiprocessing"
ARRAYS = "np.save"
FLOOR = "floor"


class Known(NamedTuple):
    """A peer.

    Attributes
    ----------
    module : str
        Its adapter in `bench.peers`.
    backends : tuple of str
        Where it is measured.
    packages : tuple of str
        What its environment needs; if nothing, it is run by the Python of the suite.
    imports : str
        The module that its users import; empty if there is none to speak of.
    keeps_workers : bool
        Whether workers stay from one map to the next.
    most_tasks : int
        In a map, unless it is told how large chunks are; with more it would take minutes.
    mpi : bool
        Whether `mpiexec` starts it.
    chunks : bool
        Whether a map of very many tasks has to be told how large its chunks are.
    imap : bool
        Whether it gives results while others are still worked at, in any order.
    """

    name: str
    module: str
    backends: tuple[str, ...]
    packages: tuple[str, ...] = ()
    imports: str = ""
    keeps_workers: bool = True
    most_tasks: int = 10_000_000
    mpi: bool = False
    chunks: bool = False
    imap: bool = False


PEERS = {
    known.name: known
    for known in (
        Known(OURS, "ours", BACKENDS, imports="pypool", imap=True),
        Known(STANDARD, "standard", BACKENDS, imports="multiprocessing.pool", imap=True),
        Known(ARRAYS, "arrays", BACKENDS),
        Known(FLOOR, "floor", (SLURM,)),
        Known("loky", "with_loky", (LOCAL,), ("loky",), "loky", most_tasks=10_000, chunks=True),
        Known(
            "joblib",
            "with_joblib",
            (LOCAL,),
            ("joblib",),
            "joblib",
            most_tasks=100_000,
            chunks=True,
            imap=True,
        ),
        Known("mpire", "with_mpire", (LOCAL,), ("mpire",), "mpire", imap=True),
        Known(
            "mpi4py.futures",
            "with_mpi4py",
            BACKENDS,
            ("mpich", "mpi4py"),
            "mpi4py.futures",
            most_tasks=10_000,
            mpi=True,
            chunks=True,
            imap=True,
        ),
        Known(
            "executorlib",
            "with_executorlib",
            (SLURM,),
            ("executorlib[cluster]",),
            "executorlib",
            most_tasks=1000,
        ),
        Known(
            "dask-jobqueue",
            "with_dask",
            (SLURM,),
            ("dask-jobqueue", "distributed"),
            "dask_jobqueue",
            most_tasks=10_000,
        ),
        Known(
            "submitit",
            "with_submitit",
            (SLURM,),
            ("submitit",),
            "submitit",
            keeps_workers=False,
            most_tasks=100,
        ),
        Known(
            "pypoolparty",
            "with_pypoolparty",
            (SLURM,),
            ("pypoolparty",),
            "pypoolparty",
            keeps_workers=False,
            most_tasks=100,
        ),
    )
}
