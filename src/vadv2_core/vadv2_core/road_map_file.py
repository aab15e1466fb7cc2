"""A `RoadMap` as a file (zstd-compressed JSON), so that a scene log is read without the simulator or its town."""

from __future__ import annotations

import json
from dataclasses import fields
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_core.geometry import Array
from vadv2_core.scene import Crossing, Lane, RoadMap, Sign, SignalHead, StopLine
from vadv2_core.taxonomy import LaneKind, LateralAction, StopControl

ROAD_MAP_VERSION = 1
"""Version of the file's form; another one is refused."""

_ENUMS: dict[str, type[IntEnum]] = {"kind": LaneKind, "turn": LateralAction, "control": StopControl}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.round(value, 3).tolist()
    if isinstance(value, IntEnum):
        return int(value)
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def _fields(item: Any) -> dict[str, Any]:
    return {f.name: _plain(getattr(item, f.name)) for f in fields(item)}


def _array(value: Any) -> Array:
    return np.asarray(value, dtype=np.float64).reshape(-1, 2)


def _read(cls: type[Any], values: dict[str, Any], arrays: tuple[str, ...]) -> Any:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if key in arrays:
            kept[key] = _array(value)
        elif key in _ENUMS:
            kept[key] = _ENUMS[key](value)
        else:
            kept[key] = tuple(value) if isinstance(value, list) else value
    return cls(**kept)


def save_road_map(path: Path, road: RoadMap) -> None:
    """Write a map (coordinates to 1 mm) so that it is whole or not there."""
    content = {
        "format": "vadv2-road-map",
        "version": ROAD_MAP_VERSION,
        "name": road.name,
        "hash": road.hash,
        "lanes": [_fields(lane) for lane in road.lanes.values()],
        "junctions": {name: _plain(outline) for name, outline in road.junctions.items()},
        "crossings": [_fields(c) for c in road.crossings],
        "stop_lines": [_fields(line) for line in road.stop_lines],
        "signal_heads": [_fields(h) for h in road.signal_heads],
        "signs": [_fields(s) for s in road.signs],
        "drivable": [_plain(p) for p in road.drivable],
        "boundaries": [_plain(p) for p in road.boundaries],
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    write_bytes_atomic(path, zstandard.ZstdCompressor(level=9).compress(text.encode()))


def load_road_map(path: Path) -> RoadMap:
    """Read a map written by `save_road_map`.

    Raises:
        InputError: for a file that is missing, damaged or of another version.
    """
    try:
        raw = zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=1 << 30)
        content = json.loads(raw)
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", str(path), "a road map") from None
    except (zstandard.ZstdError, ValueError) as error:
        raise InputError(f"damaged: {error}", str(path), "a road map") from None
    if content.get("format") != "vadv2-road-map" or content.get("version") != ROAD_MAP_VERSION:
        raise InputError(f"version {content.get('version')}", str(path), f"a road map of version {ROAD_MAP_VERSION}")
    lanes = [_read(Lane, v, ("centerline",)) for v in content["lanes"]]
    return RoadMap(
        content["name"],
        content["hash"],
        {lane.id: lane for lane in lanes},
        {name: _array(outline) for name, outline in content["junctions"].items()},
        tuple(_read(Crossing, v, ("polygon",)) for v in content["crossings"]),
        tuple(_read(StopLine, v, ("segment",)) for v in content["stop_lines"]),
        tuple(_read(SignalHead, v, ()) for v in content["signal_heads"]),
        tuple(_read(Sign, v, ()) for v in content["signs"]),
        tuple(_array(p) for p in content["drivable"]),
        tuple(_array(p) for p in content["boundaries"]),
    )
