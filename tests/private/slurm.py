"""A whole Slurm of the user who runs the tests: with the settings that a test needs, and to break.

Its daemons are children of this process and are ended by their process ids. All it writes is
below one directory; nothing of the machine's own Slurm is read or changed.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
UP_WITHIN = 60.0  # seconds
ENDS_WITHIN = 10.0

SETTINGS = {
    "ClusterName": "private",
    "AuthType": "auth/munge",
    "ProctrackType": "proctrack/linuxproc",
    "TaskPlugin": "task/none",
    "JobAcctGatherType": "jobacct_gather/none",
    "SelectType": "select/cons_tres",
    "SelectTypeParameters": "CR_CPU",
    "SchedulerParameters": "sched_interval=1,batch_sched_delay=0,bf_interval=1",
    "SlurmdParameters": "config_overrides",  # nodes may claim CPUs that the machine does not have
    "MpiDefault": "none",
    "MinJobAge": 30,
    "KillWait": 2,
    "SlurmdTimeout": 10,
    "SlurmctldTimeout": 10,
    "ReturnToService": 2,
}


def missing_daemons() -> list[str]:
    """What is not installed."""
    return [name for name in DAEMONS if shutil.which(name, path=PATH) is None]


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens now."""
    with ExitStack() as until_all_are_found:
        sockets = [until_all_are_found.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class PrivateSlurm:
    """Daemons of one Slurm, up as soon as this is made.

    Parameters
    ----------
    place : Path
        A new directory; sockets lie in it, so that its name must not be long.
    nodes, cpus : int
        How many nodes, and the CPUs of each.
    memory : int or None
        MiB of each node, if jobs are to ask for it.
    partitions : sequence of str
        Further ones than "main": a name and its settings, without the nodes, which are all.
    settings
        Lines of `slurm.conf` that are added or take the place of ours.

    Attributes
    ----------
    conf : Path
        What `SLURM_CONF` has to say.
    daemons : dict of str to Popen
        By name: "munged", "slurmctld", "n1", "n2" ...
    """

    def __init__(
        self,
        place: Path,
        nodes: int = 1,
        cpus: int = 8,
        memory: int | None = None,
        partitions: Sequence[str] = (),
        **settings: object,
    ) -> None:
        self.place = place
        self.conf = place / "slurm.conf"
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._write_files(f"CPUs={cpus}" + (f" RealMemory={memory}" if memory else ""), settings)
        names = ",".join(self.nodes)
        with self.conf.open("a") as conf:
            conf.writelines(f"PartitionName={words} Nodes={names}\n" for words in partitions)
        try:
            for daemon in ("munged", "slurmctld", *self.nodes):
                self.start(daemon)
            self.wait_for_nodes()
        except BaseException:
            self.end()
            raise

    def _write_files(self, has: str, settings: dict[str, object]) -> None:
        for name in ("munge", "log", "state", *(f"spool/{node}" for node in self.nodes)):
            (self.place / name).mkdir(parents=True, mode=0o755)
        key = self.place / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        port, *ports = free_ports(1 + len(self.nodes))
        user = subprocess.check_output(["id", "-un"], text=True).strip()
        own: dict[str, object] = {
            "SlurmctldHost": f"{socket.gethostname().split('.')[0]}(127.0.0.1)",
            "SlurmctldPort": port,
            "SlurmUser": user,
            "SlurmdUser": user,
            "AuthInfo": f"socket={self.place}/munge/socket,cred_expire=5",
            "StateSaveLocation": self.place / "state",
            "SlurmdSpoolDir": self.place / "spool" / "%n",
            "SlurmctldPidFile": self.place / "slurmctld.pid",
            "SlurmdPidFile": self.place / "%n.pid",
        }
        lines = [f"{name}={value}" for name, value in (SETTINGS | own | settings).items()]
        for node, node_port in zip(self.nodes, ports, strict=True):
            address = f"NodeHostname=localhost NodeAddr=127.0.0.1 Port={node_port}"
            lines.append(f"NodeName={node} {address} {has} State=UNKNOWN")
        names = ",".join(self.nodes)
        lines.append(f"PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP")
        self.conf.write_text("\n".join(lines) + "\n")

    # -- daemons

    def start(self, daemon: str) -> None:
        """Starts one that does not run."""
        munge = self.place / "munge"
        commands = {
            "munged": [
                "munged",
                "--foreground",
                "--force",
                *(f"--{name}-file={munge}/{name}" for name in ("key", "pid", "seed", "log")),
                f"--socket={munge}/socket",
            ],
            "slurmctld": ["slurmctld", "-D", "-i", "-f", str(self.conf)],
        }
        argv = commands.get(daemon, ["slurmd", "-D", "-N", daemon, "-f", str(self.conf)])
        with self.log(daemon).open("ab") as log:
            self.daemons[daemon] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.place,
                env={"PATH": PATH, "SLURM_CONF": str(self.conf)},
                start_new_session=True,
            )
        if daemon == "munged":
            self._until(lambda: (munge / "socket").exists(), "munged makes no socket")

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
        """What it says."""
        return self.place / "log" / daemon

    def wait_for_master(self) -> None:
        """Until it answers, busy nodes or not."""
        self._until(lambda: "UP" in self.run("scontrol", "ping"), "slurmctld does not answer")

    def wait_for_nodes(self) -> None:
        """Until all nodes take jobs."""
        idle = ["idle"] * len(self.nodes)
        sinfo = ("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T")
        self._until(lambda: self.run(*sinfo).split() == idle, "not all nodes are idle")

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + UP_WITHIN
        while not condition():
            for name, process in self.daemons.items():
                if process.poll() is not None:
                    pytest.fail(f"{name} has ended:\n{self.log(name).read_text()[-2000:]}")
            if time.monotonic() > deadline:
                logs = "\n".join(self.log(name).read_text()[-1000:] for name in self.daemons)
                pytest.fail(f"{otherwise} after {UP_WITHIN} s:\n{logs}")
            time.sleep(0.1)

    # -- what runs on it

    def run(self, *argv: str) -> str:
        """What one of Slurm's commands prints, whether it works or not."""
        environment = {"PATH": PATH, "SLURM_CONF": str(self.conf)}
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=30, check=False
        )
        return done.stdout

    def jobs(self) -> list[str]:
        """Ids of what is pending, running or completing, one for each element."""
        return self.run("squeue", "--noheader", "--array", "--format=%A").split()

    def end(self) -> None:
        """Ends the jobs, then the daemons, then whoever is left of them."""
        for process in self.daemons.values():
            process.send_signal(signal.SIGCONT)
        if "slurmctld" in self.daemons and self.daemons["slurmctld"].poll() is None:
            deadline = time.monotonic() + ENDS_WITHIN
            while (jobs := self.jobs()) and time.monotonic() < deadline:
                self.run("scancel", *jobs)
                time.sleep(0.2)
        for daemon in reversed(list(self.daemons)):
            self.stop(daemon)
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def steps(self) -> dict[str, int]:
        """The processes that watch over a job each (`slurmstepd`), by the element's own id."""
        found = {}
        for pid in self.processes():
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
                if command.startswith("slurmstepd: ["):  # slurmstepd: [12.batch]
                    found[command.split("[")[1].split(".")[0]] = pid
        return found

    def processes(self) -> list[int]:
        """What was started by this Slurm: by its directory, or its environment."""
        setting = f"SLURM_CONF={self.conf}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                inside = (entry / "cwd").readlink().is_relative_to(self.place)
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:  # of another user, or gone
                continue
            job = any(variable.startswith(b"SLURM_JOB_ID=") for variable in variables)
            if (inside or (job and setting in variables)) and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        return found
