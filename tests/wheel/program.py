"""What a user does with an installed pypool, away from any checkout: a map on each scheduler.

python program.py SCHEDULER...
"""

import os
import sys
from pathlib import Path

import pypool


def work(number: int) -> tuple[int, str, str]:
    """The result, the Python and the pypool of the worker."""
    from pypool import version

    return number**2, sys.version.split()[0], version.__file__


def main(schedulers: list[str]) -> None:
    """Fails if a result is wrong, or anything comes from elsewhere than the installed package."""
    home = Path(pypool.__file__).parent
    assert home.is_relative_to(sys.prefix), f"{home} is not in {sys.prefix}"
    for name in ("slurm", "sge", "shell"):
        assert (home / "templates" / f"{name}.sh.j2").is_file(), f"no template of {name}"
    script = pypool.slurm.Pool(2, work_dir=os.fspath(Path.cwd() / "runs")).job_script()
    assert "#SBATCH" in script
    for scheduler in schedulers:
        with getattr(pypool, scheduler).Pool(2) as pool:
            results = pool.map(work, range(100))
        assert [number for number, _, _ in results] == [number**2 for number in range(100)]
        assert {python for _, python, _ in results} == {sys.version.split()[0]}
        assert {Path(file).parent for _, _, file in results} == {home}
        print(f"Python {sys.version.split()[0]}, pypool {pypool.__version__}, {scheduler}: right")


if __name__ == "__main__":
    main(sys.argv[1:])
