"""No library: the least that an array job in Python can cost, what cold maps are compared with.

One element a worker imports cloudpickle and writes one file; no task is run. The directory is
looked at every 10 ms for those files by their names.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.peers.serve import Peer

LOOKS_EVERY = 0.01  # seconds
ELEMENT = """\
import cloudpickle, os
with open("new" + os.environ["SLURM_ARRAY_TASK_ID"], "w") as file:
    file.write("done")
os.rename(file.name, "done" + os.environ["SLURM_ARRAY_TASK_ID"])
"""


class Floor(Peer):
    distribution = "cloudpickle"

    def start(self, workers: int, **options: Any) -> None:
        self.directory = Path(options["work_dir"])
        self.queue = options["queue"]
        self.workers = workers

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        (self.directory / "element.py").write_text(ELEMENT)
        script = f"#!/bin/sh\nexec {sys.executable} element.py\n"
        queue = [f"--partition={self.queue}"] if self.queue else []
        subprocess.run(
            ["sbatch", f"--array=0-{self.workers - 1}", "--output=/dev/null", *queue],
            input=script,
            text=True,
            cwd=self.directory,
            check=True,
            capture_output=True,
        )
        missing = [self.directory / f"done{number}" for number in range(self.workers)]
        while missing := [file for file in missing if not file.exists()]:
            time.sleep(LOOKS_EVERY)
        return list(items)

    def stop(self) -> None:
        pass


PEER = Floor
