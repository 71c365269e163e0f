"""No pool: the same arrays saved and loaded with numpy, what data are compared with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.serve import Peer, serve


class Arrays(Peer):
    """Saves each array, its item or the result of its task, and loads it again."""

    distribution = "numpy"

    def start(self, workers: int, **options: Any) -> None:
        self.directory = Path(options["work_dir"])

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        files = [self.directory / f"{number}.npy" for number in range(len(items))]
        for file, item in zip(files, items, strict=True):
            np.save(file, item if isinstance(item, np.ndarray) else function(item))
        return [np.load(file) for file in files]

    def stop(self) -> None:
        for file in self.directory.glob("*.npy"):
            file.unlink()


if __name__ == "__main__":
    serve(Arrays())
