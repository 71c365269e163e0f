"""Tries the wheel: built, installed into fresh environments, used away from the checkout.

The source distribution is built first and the wheel from it, so both are tried. `program.py` is
run from the installed wheel with each Python, on local processes, `pypool.shell`, and the
schedulers that answer. As root, the programs run as the ordinary user of the test clusters.

    python tests/wheel/try_wheel.py [PYTHON ...]

Without arguments: the newest of each minor version from 3.11 on that is on PATH or in pyenv.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("program.py")
TESTER = os.environ.get("PYPOOL_TEST_USER", "pypool-tester")
OLDEST = (3, 11)
QUERY = "import sys; print(*sys.version_info[:3], sys.executable, sys.base_prefix)"
KEPT = ("PATH", "SLURM_CONF", "SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT")
PROBES = {"slurm": ["sinfo"], "sge": ["qstat"]}


class Python:
    """An interpreter of this machine."""

    def __init__(self, command: str) -> None:
        done = subprocess.run([command, "-c", QUERY], capture_output=True, text=True, check=True)
        *version, executable, prefix = done.stdout.split()
        self.version = tuple(map(int, version))
        self.executable = Path(executable)
        self.prefix = Path(prefix)

    @property
    def minor(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"


def pythons() -> list[Python]:
    """The newest of each minor version, the oldest first."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += sorted((Path.home() / ".pyenv" / "versions").glob("*/bin"))
    found: dict[str, Python] = {}
    for folder in folders:
        for minor in range(OLDEST[1], 30):
            command = folder / f"python3.{minor}"
            if not command.is_file() or ".pyenv/shims" in str(command):
                continue
            python = Python(str(command))
            if python.minor not in found or found[python.minor].version < python.version:
                found[python.minor] = python
    return [found[minor] for minor in sorted(found, key=lambda minor: int(minor.split(".")[1]))]


def schedulers() -> list[str]:
    """Those that answer here, after local processes."""
    answering = ["local", "shell"]
    for name, command in PROBES.items():
        try:
            done = subprocess.run(command, capture_output=True, timeout=5, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            answering.append(name)
    return answering


def build(place: Path) -> Path:
    """The wheel, made from the source distribution."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    environment = place / "build"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "build"], check=True)
    subprocess.run(
        [python, "-m", "build", "--outdir", place, ROOT], check=True, capture_output=True
    )
    return next(place.glob("*.whl"))


def make_reachable(python: Python, place: Path) -> dict[str, str]:
    """Variables by which an ordinary user can run it: a private one is copied."""
    if os.getuid() or not python.prefix.is_relative_to(Path.home()):
        return {}
    copy = place / f"python{python.minor}"
    shutil.copytree(python.prefix, copy, symlinks=True)
    python.executable = copy / "bin" / f"python{python.minor}"
    return {"LD_LIBRARY_PATH": str(copy / "lib")}


def try_wheel(wheel: Path, python: Python, place: Path, names: list[str]) -> int:
    """Installs the wheel for one Python and runs the program; gives the number of right maps."""
    user = pwd.getpwnam(TESTER) if not os.getuid() else pwd.getpwuid(os.getuid())
    here = Path(tempfile.mkdtemp(prefix=f"wheel-{python.minor}-", dir=user.pw_dir))
    try:
        variables = make_reachable(python, here)
        environment = here / "environment"
        subprocess.run(
            [python.executable, "-m", "venv", environment], env=os.environ | variables, check=True
        )
        subprocess.run(
            [environment / "bin" / "pip", "--disable-pip-version-check", "install", "-q", wheel],
            env=os.environ | variables,
            check=True,
        )
        shutil.copy(PROGRAM, here)
        os.chown(here, user.pw_uid, user.pw_gid)
        here.chmod(0o755)
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        done = subprocess.run(
            [environment / "bin" / "python", "program.py", *names],
            cwd=here,
            env=kept | variables | {"HOME": user.pw_dir, "LANG": "C.UTF-8"},
            user=user.pw_uid if not os.getuid() else None,
            group=user.pw_gid if not os.getuid() else None,
            extra_groups=[] if not os.getuid() else None,
            stdout=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        shutil.rmtree(here)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(f"the wheel does not work with {python.executable}")
    return done.stdout.count(": right\n")


def main(wanted: list[str]) -> None:
    chosen = [Python(command) for command in wanted] or pythons()
    names = schedulers()
    with tempfile.TemporaryDirectory(prefix="pypool-wheel-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        wheel = build(place)
        right = sum(try_wheel(wheel, python, place, names) for python in chosen)
    versions = ", ".join(".".join(map(str, python.version)) for python in chosen)
    print(f"{wheel.name}: {right} maps right, with Python {versions}, on {', '.join(names)}")


if __name__ == "__main__":
    main(sys.argv[1:])
