"""What processes that were killed leave in shared memory: found by its lock files, and removed.

Fast DDS locks a file beside every segment and port for as long as a process uses it. One that is not locked has
no user any more; its segment still fills memory (``fastdds shm clean`` removes the same files).
"""

from __future__ import annotations

import re
import time
from pathlib import Path

_FOLDER = Path("/dev/shm")
_LOCK = re.compile(r"(fastdds_(?:port\d{1,5}|[0-9a-f]{16}))_(?:el|sl)")
_SETTLED = 30.0
"""Seconds: a younger file may belong to a process that is just about to lock it."""


def _is_locked(path: Path) -> bool:
    import fcntl

    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def remove_stale_segments(folder: Path = _FOLDER, settled: float = _SETTLED) -> int:
    """Remove the segments and ports that no process uses.

    Args:
        folder: Where the system keeps shared memory; nothing is done where there is none.
        settled: Age from which a file that is not locked is stale, s.

    Returns:
        How many were removed; those of other users stay.
    """
    removed = 0
    for lock in sorted(folder.glob("fastdds_*")):
        match = _LOCK.fullmatch(lock.name)
        if match is None:
            continue
        try:
            if time.time() - lock.stat().st_mtime < settled or _is_locked(lock):
                continue
            for name in (match[1], f"sem.{match[1]}_mutex", lock.name):
                (folder / name).unlink(missing_ok=True)
            removed += 1
        except OSError:
            continue
    return removed
