"""No pool: the same arrays saved and loaded with numpy, what data are compared with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.serve import Peer


class Arrays(Peer):
    """Saves each array, its item or the result of its task, and loads it again.

    Tasks' results are there before the clock runs: one process would make them one by one.
    """

    distribution = "numpy"

    def start(self, workers: int, **options: Any) -> None:
        self.directory = Path(options["work_dir"])

    def prepared(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Sequence[Any]:
        return [item if isinstance(item, np.ndarray) else function(item) for item in items]

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        files = [self.directory / f"{number}.npy" for number in range(len(items))]
        for file, item in zip(files, items, strict=True):
            np.save(file, item)
        return [np.load(file) for file in files]

    def stop(self) -> None:
        for file in self.directory.glob("*.npy"):
            file.unlink()


PEER = Arrays
