"""Reading PDMS case files (format ``pdms-cases-1``, .json or .json.gz), with one line for whatever is wrong."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array
from vadv2_eval.pdms.scene import (
    AGENT_TYPES,
    LAYERS,
    STATIC_TYPES,
    EgoStart,
    History,
    MapPolygon,
    PdmsScene,
    PoseSequence,
    PreviousFrame,
    SceneCase,
    ScoringMap,
    Track,
)

FORMAT = "pdms-cases-1"
FRAMES_2HZ = 11
MAX_NUMBER = 1e9
"""No metre, second or radian of a case is larger; beyond it areas and lengths overflow."""


def _member(value: Any, key: str, where: str, kind: type | tuple[type, ...] = object) -> Any:
    if not isinstance(value, Mapping):
        raise InputError(f"is {type(value).__name__}", where, "an object")
    if key not in value:
        raise InputError(f"key {key!r} is missing", where, f"{key!r}")
    member = value[key]
    if not isinstance(member, kind):
        wanted = kind[0] if isinstance(kind, tuple) else kind
        names = {list: "a list", dict: "an object", str: "a string", int: "a number"}
        raise InputError(f"is {type(member).__name__}", f"{where}.{key}", names.get(wanted, wanted.__name__))
    return member


def _is_number(value: Any) -> bool:
    # An integer beyond every float is as little a number here as an infinity.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _numbers(value: Any, columns: int, where: str, *, rows: int | None = None, least: int = 1) -> Array:
    """A finite (n, columns) array; further columns are dropped."""
    expected = f"{'at least ' + str(least) if rows is None else rows} rows of {columns} finite numbers"
    if not isinstance(value, list) or (rows is not None and len(value) != rows) or len(value) < least:
        raise InputError("has the wrong length" if isinstance(value, list) else "is not a list", where, expected)
    for i, row in enumerate(value):
        if not isinstance(row, list) or len(row) < columns:
            raise InputError(f"row {i} is {row!r:.60}", where, expected)
        if not all(map(_is_number, row[:columns])):
            raise InputError(f"row {i} is {row!r:.60}", where, expected)
    return np.array([row[:columns] for row in value], dtype=np.float64)


def _vector(value: Any, length: int, where: str) -> Array:
    return _numbers([value], length, where, rows=1).reshape(length)


def _positive(value: Any, where: str) -> float:
    if not _is_number(value) or value <= 0:
        raise InputError(f"is {value!r:.40}", where, "a number above 0")
    return float(value)


def _ego(value: Any, where: str) -> EgoStart:
    return EgoStart(
        _vector(_member(value, "rear_axle", where), 3, f"{where}.rear_axle"),
        _vector(_member(value, "velocity", where), 2, f"{where}.velocity"),
        _vector(_member(value, "acceleration", where), 2, f"{where}.acceleration"),
    )


def _poses(value: Any, where: str) -> PoseSequence:
    dt = _positive(_member(value, "dt", where), f"{where}.dt")
    return PoseSequence(dt, _numbers(_member(value, "poses", where), 3, f"{where}.poses"))


def _polygon(value: Any, where: str) -> MapPolygon:
    name = str(_member(value, "id", where))
    where = f"{where} ({name})"
    layer = _member(value, "layer", where, str)
    if layer not in LAYERS:
        raise InputError(f"layer is {layer!r}", where, "one of " + ", ".join(sorted(LAYERS)))
    exterior = _numbers(_member(value, "exterior", where), 2, f"{where}.exterior", least=3)
    shape = shapely.Polygon(exterior)
    if shape.area <= 0.0 or not shape.is_valid:
        reason = "encloses nothing" if shape.area <= 0.0 else shapely.is_valid_reason(shape).split("[")[0].lower()
        raise InputError(f"the outline is impossible: {reason}", f"{where}.exterior", "a simple polygon with an area")
    return MapPolygon(name, layer, exterior)


def _map(value: Any, where: str) -> ScoringMap:
    polygons = _member(value, "polygons", where, list)
    centerline = _numbers(_member(value, "centerline", where), 2, f"{where}.centerline", least=2)
    if not (np.ptp(centerline, axis=0) > 0).any():
        raise InputError("all points are one", f"{where}.centerline", "a polyline with a length")
    return ScoringMap(
        tuple(_polygon(p, f"{where}.polygons[{i}]") for i, p in enumerate(polygons)),
        centerline,
        frozenset(map(str, _member(value, "route_lane_ids", where, list))),
    )


def _track(value: Any, where: str) -> Track:
    token = str(_member(value, "token", where))
    where = f"{where} ({token})"
    kind = _member(value, "type", where, str)
    if kind not in AGENT_TYPES | STATIC_TYPES:
        known = ", ".join(sorted(AGENT_TYPES | STATIC_TYPES))
        raise InputError(f"type is {kind!r}", where, f"one of {known}")
    rows = _member(value, "states_2hz", where, list)
    if len(rows) != FRAMES_2HZ:
        raise InputError(f"has {len(rows)} entries", f"{where}.states_2hz", f"{FRAMES_2HZ}, t = 0, 0.5 ... 5.0 s")
    states = np.full((FRAMES_2HZ, 5), np.nan)
    for i, row in enumerate(rows):
        if row is not None:
            states[i] = _vector(row, 5, f"{where}.states_2hz[{i}]")
    length, width = (_positive(_member(value, k, where), f"{where}.{k}") for k in ("length", "width"))
    return Track(token, kind, length, width, states)


def _red_connectors(value: Sequence[Any], where: str) -> tuple[frozenset[str], ...]:
    frames = []
    for i, frame in enumerate(value):
        if not isinstance(frame, list):
            raise InputError(f"is {type(frame).__name__}", f"{where}[{i}]", "a list")
        red = [
            str(_member(light, "lane_connector_id", f"{where}[{i}][{j}]"))
            for j, light in enumerate(frame)
            if _member(light, "red", f"{where}[{i}][{j}]", bool)
        ]
        frames.append(frozenset(red))
    return tuple(frames)


def _history(value: Any, where: str) -> History:
    if not isinstance(value, list) or len(value) < 2:
        raise InputError("is too short", where, "at least two past ego states, the last at t = 0")
    egos = [_ego(v, f"{where}[{i}]") for i, v in enumerate(value)]
    times = _numbers([[_member(v, "t", f"{where}[{i}]")] for i, v in enumerate(value)], 1, f"{where}.t")[:, 0]
    if (np.diff(times) <= 0).any():
        raise InputError("t does not rise", where, "times in order")
    return History(
        times,
        np.stack([e.rear_axle for e in egos]),
        np.stack([e.velocity for e in egos]),
        np.stack([e.acceleration for e in egos]),
    )


def parse_case(value: Any, where: str) -> SceneCase:
    """One case of the format as a `SceneCase`.

    Raises:
        InputError: naming the key, what it holds and what was expected.
    """
    name = str(_member(value, "id", where))
    where = f"{where} ({name})"
    tracks = _member(value, "tracks", where, list)
    lights = _member(value, "traffic_lights_2hz", where, list)
    scene = PdmsScene(
        _ego(_member(value, "ego", where), f"{where}.ego"),
        _map(_member(value, "map", where), f"{where}.map"),
        tuple(_track(t, f"{where}.tracks[{i}]") for i, t in enumerate(tracks)),
        _red_connectors(lights, f"{where}.traffic_lights_2hz"),
    )
    tokens = [t.token for t in scene.tracks]
    if len(set(tokens)) != len(tokens):
        twice = next(t for t in tokens if tokens.count(t) > 1)
        raise InputError(f"token {twice!r} appears twice", f"{where}.tracks", "unique tokens")
    previous = _member(value, "previous", where)
    return SceneCase(
        name,
        tuple(map(str, _member(value, "tags", where, list))) if "tags" in value else (),
        scene,
        _poses(_member(value, "candidate", where), f"{where}.candidate"),
        _poses(_member(value, "reference", where), f"{where}.reference"),
        _poses(_member(value, "human", where), f"{where}.human"),
        _history(_member(value, "history", where), f"{where}.history"),
        PreviousFrame(
            _ego(_member(previous, "ego", f"{where}.previous"), f"{where}.previous.ego"),
            _poses(_member(previous, "candidate", f"{where}.previous"), f"{where}.previous.candidate"),
        ),
    )


def read_raw_cases(path: Path) -> list[Any]:
    """The entries of ``cases`` in a case file, not yet checked.

    Raises:
        InputError: for a file that is missing, truncated, not JSON or of another format.
    """
    where, expected = str(path), f"a {FORMAT} file (.json or .json.gz)"
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        value = json.loads(text)
    except FileNotFoundError:
        raise InputError("no such file", where, expected) from None
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise InputError(f"cannot be read: {str(error).splitlines()[0]}", where, expected) from None
    if not isinstance(value, Mapping) or value.get("format", FORMAT) != FORMAT:
        raise InputError("is of another format", where, expected)
    cases = value.get("cases")
    if not isinstance(cases, list) or not cases:
        raise InputError("holds no cases", where, "a list 'cases'")
    return cases


def read_cases(path: Path) -> list[SceneCase]:
    """Every case of a file; the first bad one stops it.

    Raises:
        InputError: as `read_raw_cases` and `parse_case`.
    """
    return [parse_case(c, f"{path}: cases[{i}]") for i, c in enumerate(read_raw_cases(path))]
