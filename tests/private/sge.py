"""A whole Grid Engine of the user who runs the tests: a cell of its own, to break.

A master and an execution daemon that were not started by root run jobs of the user who started
them, which is all that a test needs. What only root can do is missing: jobs have no group of
their own, so at its end the processes of a job's session are killed and no others.

The cell is written as `tests/clusters/sge-up` writes the one that root makes, from the same
`sge.conf.in`. The daemons are children of this process and are ended by their process ids. All
they write is below one directory.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from .slurm import ENDS_WITHIN, UP_WITHIN, free_ports

PROGRAMS = Path("/usr/lib/gridengine")
PACKAGE = Path("/usr/share/gridengine")
CHOICES = Path(__file__).parents[1] / "clusters" / "sge.conf.in"
PLATFORM = "lx-amd64"
DAEMONS = ("qmaster", "execd")
COMMANDS = ("qsub", "qstat", "qdel", "qacct", "qconf", "qmod", "qhold", "qrls")


def missing_sge() -> list[str]:
    """What is not installed."""
    return [
        str(path)
        for path in (*(PROGRAMS / f"sge_{name}" for name in DAEMONS), PACKAGE / "util")
        if not path.exists()
    ]


class PrivateSge:
    """Daemons of one Grid Engine, up as soon as this is made.

    Parameters
    ----------
    place : Path
        A new directory.
    slots : int
        How many workers at the same time.
    settings
        Lines of the queue that are added or take the place of ours.

    Attributes
    ----------
    environment : dict of str to str
        By which commands reach this one.
    daemons : dict of str to Popen
        "qmaster" and "execd".
    """

    def __init__(self, place: Path, slots: int = 8, **settings: object) -> None:
        self.place = place
        self.common = place / "default" / "common"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        ports = [str(port) for port in free_ports(2)]
        self.environment = {
            "SGE_ROOT": str(place),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": ports[0],
            "SGE_EXECD_PORT": ports[1],
        }
        self._make_places()
        self._name_host()
        self._write_cell()
        try:
            self.start("qmaster")
            self._until(lambda: self.succeeds("qstat"), "the master does not answer")
            self._write_queue({"slots": slots, "seq_no": 0} | settings)
            self.start("execd")
            self.wait_for_queue()
        except BaseException:
            self.end()
            raise

    # -- the cell

    def _make_places(self) -> None:
        for name in ("spool/qmaster", "spool/execd", "log", "bin", "new", "tmp"):
            (self.place / name).mkdir(parents=True)
        self.common.mkdir(parents=True)
        (self.place / "bin" / PLATFORM).symlink_to(PROGRAMS)
        (self.place / "util").symlink_to(PACKAGE / "util")

    def _name_host(self) -> None:
        """All names that the machine may find for itself are one host, see `sge-up`."""
        names = {socket.gethostname(), socket.getfqdn()}
        for address in ("127.0.0.1", "127.0.1.1"):
            with suppress(OSError):
                name, aliases, _ = socket.gethostbyaddr(address)
                names |= {name, *aliases}
        names -= {"localhost", ""}
        (self.common / "act_qmaster").write_text("localhost\n")
        if names:
            (self.common / "host_aliases").write_text(f"localhost {' '.join(sorted(names))}\n")

    def _write_cell(self) -> None:
        new = self.place / "new"
        user = subprocess.check_output(["id", "-un"], text=True).strip()
        bootstrap = (PACKAGE / "default-bootstrap").read_text()
        choices = self._choices("bootstrap")
        choices["admin_user"] = f"admin_user {user}"  # whom the master trusts to be its execd
        (self.common / "bootstrap").write_text(changed(bootstrap, choices))
        configuration = (PACKAGE / "default-configuration").read_text()
        choices = self._choices("configuration")
        choices["execd_params"] = "execd_params NONE"  # a group for each job takes root
        (new / "configuration").write_text(changed(configuration, choices))
        for kind in ("adminhosts", "submithosts", "exechosts", "complexes", "pes"):
            (new / kind).mkdir()
        for kind in ("adminhosts", "submithosts", "exechosts"):
            (new / kind / "localhost").write_text("hostname localhost\n")
        (new / "complexes" / "h_vmem").write_text(
            "name h_vmem\nshortcut h_vmem\ntype MEMORY\nrelop <=\nrequestable YES\n"
            "consumable YES\ndefault 0\nurgency 0\n"
        )
        smp = (PACKAGE / "util" / "resources" / "pe" / "smp").read_text()
        smp = changed(
            smp, {"pe_name": "pe_name smp", "allocation_rule": "allocation_rule $pe_slots"}
        )
        (new / "pes" / "smp").write_text(smp)
        self._program(
            "spoolinit", "classic", "libspoolc", f"{self.common};{self.place}/spool/qmaster", "init"
        )
        resources = PACKAGE / "util" / "resources"
        self._program("spooldefaults", "configuration", str(new / "configuration"))
        self._program("spooldefaults", "complexes", str(resources / "centry"))
        self._program("spooldefaults", "usersets", str(resources / "usersets"))
        self._program("spooldefaults", "managers", user)
        for kind in ("adminhosts", "submithosts", "complexes", "exechosts", "pes"):
            self._program("spooldefaults", kind, str(new / kind))

    def _choices(self, section: str) -> dict[str, str]:
        """Our lines of this name in `sge.conf.in`, by their first word."""
        text = CHOICES.read_text().split(f"[{section}]\n")[1].split("\n[")[0]
        text = text.replace("@HOME@", str(self.place))
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {line.split()[0]: line for line in lines}

    def _program(self, name: str, *arguments: str) -> None:
        """One of those with which the packages write a cell."""
        done = subprocess.run(
            [str(PROGRAMS / name), *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"{name} {' '.join(arguments)}:\n{done.stdout}{done.stderr}")

    def _write_queue(self, settings: dict[str, object]) -> None:
        new = self.place / "new"
        scheduler = changed(self.run("qconf", "-ssconf"), self._choices("scheduler"))
        (new / "scheduler").write_text(scheduler)
        self.manage("-Msconf", str(new / "scheduler"))
        ours = self._choices("queue") | {"qname": "qname all.q"}
        ours["pe_list"] = "pe_list smp"
        ours |= {name: f"{name} {value}" for name, value in settings.items()}
        (new / "all.q").write_text(changed(self.run("qconf", "-sq"), ours))
        self.manage("-Aq", str(new / "all.q"))

    def manage(self, *arguments: str) -> None:
        """A change of the configuration, which has to work."""
        done = self._call("qconf", *arguments)
        if done.returncode:
            pytest.fail(f"qconf {' '.join(arguments)}:\n{done.stdout}{done.stderr}")

    def change_queue(self, name: str, value: str) -> None:
        """Another value of an attribute of the queue."""
        self.manage("-mattr", "queue", name, value, "all.q")

    # -- daemons

    def start(self, daemon: str) -> None:
        """Starts one that does not run."""
        with self.log(daemon).open("ab") as log:
            self.daemons[daemon] = subprocess.Popen(
                [str(self.place / "bin" / PLATFORM / f"sge_{daemon}")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.place,
                env=self._environment() | {"SGE_ND": "1"},  # it stays our child
                start_new_session=True,
            )

    def stop(self, daemon: str, number: int = signal.SIGTERM) -> None:
        """Ends one, by SIGKILL if it does not go in time."""
        process = self.daemons.pop(daemon)
        process.send_signal(number)
        try:
            process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def signal(self, daemon: str, number: int) -> None:
        """Sends a signal, such as SIGSTOP, to one that goes on being ours."""
        self.daemons[daemon].send_signal(number)

    def log(self, daemon: str) -> Path:
        """What it says as it starts."""
        return self.place / "log" / daemon

    def _messages(self) -> str:
        found = [*self.place.glob("log/*"), *self.place.glob("spool/**/messages")]
        return "\n".join(f"{path}:\n{path.read_text()[-1500:]}" for path in found)

    def wait_for_master(self) -> None:
        """Until it answers."""
        self._until(lambda: self.succeeds("qstat"), "the master does not answer")

    def wait_for_queue(self) -> None:
        """Until it takes jobs."""
        self._until(self._in_service, "the queue is not in service")

    def _in_service(self) -> bool:
        rows = [line.split() for line in self.run("qstat", "-f").splitlines()]
        return any(row[:1] and "@" in row[0] and len(row) == 5 and row[3] != "-NA-" for row in rows)

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + UP_WITHIN
        while not condition():
            for name, process in self.daemons.items():
                if process.poll() is not None:
                    pytest.fail(f"{name} has ended:\n{self._messages()}")
            if time.monotonic() > deadline:
                pytest.fail(f"{otherwise} after {UP_WITHIN} s:\n{self._messages()}")
            time.sleep(0.1)

    # -- what runs on it

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/local/bin:/usr/bin:/bin"} | self.environment

    def _call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, env=self._environment(), capture_output=True, text=True, timeout=30, check=False
        )

    def run(self, *argv: str) -> str:
        """What one of Grid Engine's commands prints, whether it works or not."""
        return self._call(*argv).stdout

    def succeeds(self, *argv: str) -> bool:
        """Whether it works."""
        return self._call(*argv).returncode == 0

    def jobs(self) -> list[str]:
        """Ids of what is pending, running or on its way out, one for each line of `qstat`."""
        words = [line.split() for line in self.run("qstat").splitlines()]
        return [first[0] for first in words if first and first[0].isdigit()]

    def end(self) -> None:
        """Ends the jobs, then the daemons, then whoever is left of them."""
        for process in self.daemons.values():
            process.send_signal(signal.SIGCONT)
        if all(self.daemons.get(name) and self.daemons[name].poll() is None for name in DAEMONS):
            deadline = time.monotonic() + ENDS_WITHIN
            while (jobs := self.jobs()) and time.monotonic() < deadline:
                self.run("qdel", *jobs)
                time.sleep(0.2)
        for daemon in reversed(list(self.daemons)):
            self.stop(daemon)
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def shepherds(self) -> list[int]:
        """The processes that watch over a job each."""
        return [pid for pid in self.processes() if _program_of(pid) == "sge_shepherd"]

    def processes(self) -> list[int]:
        """What was started by this Grid Engine: by its directory, or its environment."""
        setting = f"SGE_ROOT={self.place}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                inside = (entry / "cwd").readlink().is_relative_to(self.place)
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:  # of another user, or gone
                continue
            job = any(variable.startswith(b"JOB_ID=") for variable in variables)
            if (inside or (job and setting in variables)) and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        return found


def _program_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name
    except OSError:
        return ""


def changed(text: str, ours: dict[str, str]) -> str:
    """Lines "name value", with our value where we have one."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(ours.get(line.split()[0], line) for line in lines) + "\n"
