"""A task that takes long keeps its worker busy, and no other task waiting."""

from pathlib import Path
from typing import Any

from . import tasks
from .kinds import PATIENCE, AnyPool
from .methods import by


def begin(method: str, pool: AnyPool, items: list[Any]) -> Any:
    """The results to come, with a chunksize of one."""
    if method == "apply_async":
        handles = [pool.apply_async(tasks.first_waits, (item,)) for item in items]
        return (handle.get(PATIENCE) for handle in handles)
    if method == "map_async":
        return pool.map_async(tasks.first_waits, items, 1).get(PATIENCE)
    if method == "starmap_async":
        rows = [(item,) for item in items]
        return pool.starmap_async(tasks.first_waits, rows, 1).get(PATIENCE)
    return getattr(pool, method)(tasks.first_waits, items)


@by("apply_async", "map_async", "starmap_async", "imap", "imap_unordered")
def test_all_others_are_done_meanwhile(pool: AnyPool, method: str, shared_dir: Path) -> None:
    """Also if the pool has learnt that the function is quick, and its first item is not."""
    pool.map(tasks.first_waits, [(str(shared_dir), 1)] * 200)
    (shared_dir / "1").unlink()
    items = [(str(shared_dir), number) for number in range(tasks.OTHERS + 1)]
    assert list(begin(method, pool, items)) == [True] * (tasks.OTHERS + 1)
