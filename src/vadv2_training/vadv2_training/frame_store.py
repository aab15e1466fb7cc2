"""Cached frames: what a frozen backbone saw of every frame of a drive, and all that training asks about it.

A drive is one shard, ``<name>.safetensors`` with every array and ``<name>.json`` with its texts and origin. A shard is
written whole or not at all, so a store can be filled by many processes and after any kill. Rows are read from the file
when they are asked for: a store may be larger than memory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_bytes_atomic, write_json_atomic

STORE_VERSION = 1
FEATURE_NAMES = ("features_0", "features_1", "features_2")
"""Backbone maps, finest first: (n, cameras, c, h, w) int8 with one scale a channel in ``<name>_scale`` (c,)."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Window:
    """``count`` frames of a shard in a row, from ``start``."""

    shard: int
    start: int
    count: int


def quantised(features: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Maps (n, cameras, c, h, w) as int8 with one scale a channel (c,); the largest 0.01 % are cut."""
    flat = np.abs(features.swapaxes(0, 2).reshape(features.shape[2], -1))
    scale = np.maximum(np.quantile(flat[:, :: max(flat.shape[1] // 200_000, 1)], 0.9999, axis=1), 1e-6) / 127.0
    levels = np.clip(np.rint(features / scale[None, None, :, None, None]), -127, 127)
    return levels.astype(np.int8), scale.astype(np.float32)


def write_shard(directory: Path, name: str, arrays: Arrays, facts: Mapping[str, Any], texts: Sequence[Any]) -> None:
    """Write one drive; the texts first, so that a shard that is seen has them."""
    write_json_atomic(
        directory / f"{name}.json", {"version": STORE_VERSION, "facts": dict(facts), "texts": list(texts)}
    )
    data = save({key: np.ascontiguousarray(value) for key, value in arrays.items()})
    write_bytes_atomic(directory / f"{name}.safetensors", data)


class FrameStore:
    """All shards of a directory.

    Args:
        directory: Where they are.
        window: Frames in a row that a sample is made of; drives shorter than that are left out.

    Raises:
        InputError: for a directory without shards, or a shard that is not one.
    """

    def __init__(self, directory: Path, window: int) -> None:
        self.directory = directory
        paths = sorted(directory.glob("*.safetensors"))
        if not paths:
            raise InputError("holds no frames", str(directory), "a store filled by `vadv2 train`")
        self._files: list[Any] = []
        self.windows: list[Window] = []
        self.names: list[str] = []
        for path in paths:
            try:
                source: Any = safe_open(path, framework="pt")
                count = int(source.get_slice("stamps").get_shape()[0])
            except (SafetensorError, OSError) as error:
                raise InputError(f"not a shard of frames: {error}", str(path), "what `vadv2 train` wrote") from None
            index = len(self._files)
            self._files.append(source)
            self.names.append(path.stem)
            # Half-overlapping windows: every frame is seen with and without a past.
            step = max(window // 2, 1)
            self.windows += [Window(index, s, window) for s in range(0, count - window + 1, step)]
        self._texts: dict[int, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.windows)

    def count(self, shard: int) -> int:
        """Frames of a shard."""
        return int(self._files[shard].get_slice("stamps").get_shape()[0])

    @property
    def frames(self) -> int:
        """Frames of all shards."""
        return sum(self.count(shard) for shard in range(len(self.names)))

    def shards_in_turn(self) -> list[int]:
        """All shards, this process's share of them first (torchrun's ``RANK`` and ``WORLD_SIZE``).

        Processes that each make what is missing, in this order, share the work without talking to each other; what
        another is just making at the end is made twice.
        """
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        every = range(len(self.names))
        return sorted(every, key=lambda shard: ((shard - rank) % world, shard))

    def keys(self, shard: int = 0) -> tuple[str, ...]:
        """Names of the arrays of a shard."""
        return tuple(self._files[shard].keys())

    def read(self, window: Window, keys: Sequence[str]) -> dict[str, Tensor]:
        """Rows (count, ...) of some arrays; int8 features come back as bfloat16 maps."""
        source = self._files[window.shard]
        rows = {}
        for key in keys:
            value = source.get_slice(key)[window.start : window.start + window.count]
            if key in FEATURE_NAMES:
                scale = source.get_tensor(f"{key}_scale")
                value = value.to(torch.bfloat16) * scale.to(torch.bfloat16)[None, None, :, None, None]
            rows[key] = value
        return rows

    def batch(self, windows: Sequence[Window], keys: Sequence[str]) -> dict[str, Tensor]:
        """Rows of several windows, (windows, count, ...)."""
        rows = [self.read(window, keys) for window in windows]
        return {key: torch.stack([row[key] for row in rows]) for key in keys}

    def texts(self, window: Window) -> list[Any]:
        """What is said of each frame of a window."""
        if window.shard not in self._texts:
            path = self.directory / f"{self.names[window.shard]}.json"
            head = read_json(path)
            texts = head.get("texts") if isinstance(head, dict) else None
            if not isinstance(texts, list) or len(texts) != self.count(window.shard):
                raise InputError("has no 'texts', one a frame", str(path), "what `vadv2 train` wrote")
            self._texts[window.shard] = texts
        return self._texts[window.shard][window.start : window.start + window.count]
