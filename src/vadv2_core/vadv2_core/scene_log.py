"""Scene logs: a drive as states, a few kB a second, from which any rig, weather and ego offset can be rendered again.

A log is a zstd stream of JSON lines: a header, then one record a frame, then an end record. Records are flushed every
`FLUSH_EVERY` frames, so that a log that was cut short is read up to its last whole frame. What stays the same is said
once: an agent's sizes, a parked car's place, the whole route; signals and closed lanes only when they change.
Metres to 1 cm (ego 1 mm), radians to 1e-4.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import zstandard

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.drive import VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2
from vadv2_core.scene import Agent, Scene
from vadv2_core.taxonomy import (
    STATIC_CLASSES,
    TAXONOMY_VERSION,
    AgentClass,
    AgentIntention,
    Cause,
    DrivingAction,
    SignalState,
    Weather,
)

SCENE_LOG_VERSION = 1
"""Version of the log's form; another one is refused."""
SCENE_LOG_SUFFIX = ".scenes.zst"
_BROKEN = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
"""What records of another form end in."""
FLUSH_EVERY = 10
"""Frames between two flushes to disk."""


@dataclass(frozen=True, slots=True)
class LoggedRoute:
    """The whole way of a drive: (n, 2) points, the lane of each as an index into ``lane_ids``."""

    points: Array
    lane_index: tuple[int, ...]
    lane_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SceneLogHeader:
    """What holds for a whole drive.

    Attributes:
        town: Name of the town.
        map_hash: `RoadMap.hash` of its map.
        scenario: Name of the scenario; empty in plain traffic.
        seed: Of the drive.
        driver: Who drove.
        dt: Seconds between frames.
        vehicle: `vadv2_core.config.to_mapping` of the VehicleConfig.
        rig: The rig file's content the drive was made for; empty for any.
        route: The whole way; None where only the frames hold it.
        notes: Anything else worth keeping, JSON values.
    """

    town: str
    map_hash: str
    scenario: str = ""
    seed: int = 0
    driver: str = ""
    dt: float = 0.1
    vehicle: dict[str, Any] = field(default_factory=dict)
    rig: dict[str, Any] = field(default_factory=dict)
    route: LoggedRoute | None = None
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogFrame:
    """One moment of a log.

    Attributes:
        scene: The truth.
        vehicle_command: What the vehicle was told at this moment; None where nobody drove it.
        notes: What the driver said about it (plan, cause, meta-actions), JSON values.
        events: What went wrong at this moment (`vadv2_sim.drive_events`), JSON values.
    """

    scene: Scene
    vehicle_command: VehicleCommand | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    events: tuple[dict[str, Any], ...] = ()


def _r(value: float, digits: int) -> float:
    return round(float(value), digits) + 0.0  # no minus zero


class SceneLogWriter:
    """Writes a log beside its place and gives it its name when it is closed.

    Args:
        path: Ends in `SCENE_LOG_SUFFIX`; parents are made.
        header: Of the drive.
        flush_every: Frames after which what was written can be read, should the process die; fewer pack worse.
    """

    def __init__(self, path: Path, header: SceneLogHeader, flush_every: int = FLUSH_EVERY) -> None:
        self.path, self.header, self._flush_every = path, header, flush_every
        path.parent.mkdir(parents=True, exist_ok=True)
        self.part = path.with_name(path.name + ".part")
        self._out: BinaryIO = self.part.open("wb")
        self._stream = zstandard.ZstdCompressor(level=6).compressobj()
        self._agents: dict[str, int] = {}
        self._things: dict[str, Agent] = {}
        self._words: dict[str, int] = {}
        self._last: dict[str, Any] = {}
        self._low = 0
        self.frames = 0
        route = header.route
        self._say(
            {
                "format": "vadv2-scene-log",
                "version": SCENE_LOG_VERSION,
                "taxonomy": TAXONOMY_VERSION,
                **{k: getattr(header, k) for k in ("town", "map_hash", "scenario", "seed", "driver", "dt")},
                "vehicle": header.vehicle,
                "rig": header.rig,
                "notes": header.notes,
                "route": None
                if route is None
                else {
                    "points": np.round(route.points, 3).tolist(),
                    "lane_index": list(route.lane_index),
                    "lane_ids": list(route.lane_ids),
                },
            }
        )
        self._flush()

    def write(self, frame: LogFrame) -> None:
        """Append a frame."""
        scene = frame.scene
        record: dict[str, Any] = {"t": scene.stamp, "e": _ego_row(scene.ego)}
        defined: list[list[Any]] = []
        rows, things = [], []
        for agent in scene.agents:
            thing = _is_thing(agent)
            if agent.id not in self._agents or (thing and self._things.get(agent.id) != agent):
                defined.append(self._define(agent, thing))
            index = self._agents[agent.id]
            if thing:
                things.append(index)
            else:
                rows.append(self._agent_row(index, agent))
        if defined:
            record["d"] = defined
        record["a"] = rows
        self._changed(record, "p", things)
        self._changed(record, "s", {k: int(v) for k, v in scene.signals.items()})
        self._changed(record, "x", sorted(scene.closed_lanes))
        self._changed(record, "w", [int(scene.weather), _r(scene.weather_intensity, 3)])
        self._changed(record, "v", list(scene.events))
        self._changed(record, "n", scene.scenario)
        command = scene.command
        record["c"] = [self._word(command.text), int(command.action), _r(command.distance, 1)]
        record["l"] = self._word(scene.ego_lane or "")
        record["r"] = self._route(scene.route)
        if frame.vehicle_command is not None:
            u = frame.vehicle_command
            record["u"] = [u.trajectory_stamp, *(_r(v, 4) for v in (u.steering_angle, u.steering_rate)),
                           _r(u.acceleration, 3), _r(u.speed, 3)]  # fmt: skip
        if frame.notes:
            record["o"] = frame.notes
        if frame.events:
            record["f"] = list(frame.events)
        if len(self._words) > self._last.get("words", 0):
            record["k"] = list(self._words)[self._last.get("words", 0) :]
            self._last["words"] = len(self._words)
        self._say(record)
        self.frames += 1
        if self.frames % self._flush_every == 0:
            self._flush()

    def close(self, end: dict[str, Any] | None = None) -> None:
        """Write the end record (what came of the drive), finish the stream and give the log its name."""
        if self._out.closed:
            return
        self._say({"end": end or {}, "frames": self.frames})
        self._out.write(self._stream.flush())
        self._out.close()
        self.part.replace(self.path)

    def __enter__(self) -> SceneLogWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _say(self, record: dict[str, Any]) -> None:
        text = json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        self._out.write(self._stream.compress(text.encode() + b"\n"))

    def _flush(self) -> None:
        self._out.write(self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        self._out.flush()

    def _changed(self, record: dict[str, Any], key: str, value: Any) -> None:
        if self._last.get(key) != value:
            record[key] = value
            self._last[key] = value

    def _word(self, text: str) -> int:
        return self._words.setdefault(text, len(self._words))

    def _define(self, agent: Agent, thing: bool) -> list[Any]:
        index = self._agents.setdefault(agent.id, len(self._agents))
        row: list[Any] = [
            index, agent.id, int(agent.cls), _r(agent.length, 2), _r(agent.width, 2), _r(agent.height, 2),
            list(agent.color),
        ]  # fmt: skip
        if thing:
            self._things[agent.id] = agent
            row += [self._agent_row(index, agent)]
        return row

    def _agent_row(self, index: int, a: Agent) -> list[Any]:
        bits = (a.indicator + 1) | int(a.braking) << 2 | int(a.blue_light) << 3
        return [
            index, _r(a.x, 2), _r(a.y, 2), _r(a.yaw, 4), _r(a.velocity[0], 2), _r(a.velocity[1], 2),
            _r(a.acceleration, 2), self._word(a.lane or ""), int(a.intention), int(a.cause), bits,
        ]  # fmt: skip

    def _route(self, route: Route | None) -> Any:
        if route is None:
            return None
        whole = self.header.route
        if whole is not None:
            gap = np.abs(whole.points - route.points[0]).sum(axis=1)
            gap[: max(0, self._low - 40)] += 1e-9  # where a way meets itself, the place nearer to the last one
            low = int(gap.argmin())
            high = low + len(route.points)
            if high <= len(gap) and np.abs(whole.points[low:high] - route.points).max() < 1e-3:
                self._low = low
                return [low, high, _r(route.speed_limit, 2)]
        return {
            "points": np.round(route.points, 2).tolist(),
            "lane_ids": list(route.lane_ids),
            "speed_limit": _r(route.speed_limit, 2),
        }


def _is_thing(agent: Agent) -> bool:
    still = agent.velocity == (0.0, 0.0)
    return still and (agent.cls in STATIC_CLASSES or agent.intention == AgentIntention.PARKED)


def _ego_row(ego: EgoState) -> list[Any]:
    steering = None if ego.steering_angle is None else _r(ego.steering_angle, 5)
    return [
        _r(ego.pose.x, 3), _r(ego.pose.y, 3), _r(ego.pose.yaw, 5), _r(ego.velocity[0], 3), _r(ego.velocity[1], 3),
        _r(ego.acceleration[0], 3), _r(ego.acceleration[1], 3), _r(ego.yaw_rate, 5), steering,
    ]  # fmt: skip


class SceneLog:
    """A log read back; frames are decoded when they are asked for.

    Args:
        path: The log.

    Attributes:
        header: Of the drive.
        end: What came of it; empty where the log was cut short.
        truncated: The log ended before its end record; it holds every whole frame before the cut.

    Raises:
        InputError: for a file that is missing, no scene log, of another version, or without one whole frame; also when
            a frame is asked for whose record is of another form.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end: dict[str, Any] = {}
        self.truncated = True
        self._records: list[dict[str, Any]] = []
        self._definitions: dict[int, list[Any]] = {}
        self._words: list[str] = []
        try:
            self._read()
        except InputError:
            raise
        except _BROKEN as error:
            raise InputError(f"broken: {error!r}", str(path), "a scene log") from None

    def _read(self) -> None:
        lines = _lines(self.path)
        self.header = self._read_header(next(lines, None))
        state: dict[str, Any] = {"p": [], "s": {}, "x": [], "w": [0, 0.0], "v": [], "n": ""}
        things: dict[int, list[Any]] = {}
        for record in lines:
            if "end" in record:
                self.end, self.truncated = record["end"], False
                break
            for row in record.pop("d", ()):
                self._definitions[row[0]] = row[:7]
                if len(row) > 7:
                    things = {**things, row[0]: row[7]}
            self._words += record.pop("k", ())
            for key in state:
                if key in record:
                    state = {**state, key: record[key]}
            record["state"], record["things"] = state, things
            self._records.append(record)
        if not self._records:
            raise InputError("no whole frame in it", str(self.path), "a scene log")

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> LogFrame:
        return self._decode(self._records[index])

    def __iter__(self) -> Iterator[LogFrame]:
        return (self._decode(record) for record in self._records)

    def _read_header(self, record: dict[str, Any] | None) -> SceneLogHeader:
        where = str(self.path)
        if record is None or record.get("format") != "vadv2-scene-log":
            raise InputError("not a scene log", where, f"a {SCENE_LOG_SUFFIX} file")
        if record.get("version") != SCENE_LOG_VERSION:
            raise InputError(f"version {record.get('version')}", where, f"a scene log of version {SCENE_LOG_VERSION}")
        if record.get("taxonomy", 0) > TAXONOMY_VERSION:
            raise InputError(f"taxonomy {record['taxonomy']}", where, f"a taxonomy up to {TAXONOMY_VERSION}")
        route = record.pop("route", None)
        if route is not None:
            points = np.asarray(route["points"], dtype=np.float64).reshape(-1, 2)
            route = LoggedRoute(points, tuple(route["lane_index"]), tuple(route["lane_ids"]))
        keys = ("town", "map_hash", "scenario", "seed", "driver", "dt", "vehicle", "rig", "notes")
        try:
            return SceneLogHeader(route=route, **{k: record[k] for k in keys})
        except KeyError as error:
            raise InputError(f"its header has no {error}", where, "a whole header") from None

    def _decode(self, record: dict[str, Any]) -> LogFrame:
        try:
            return self._decoded(record)
        except InputError:
            raise
        except _BROKEN as error:
            raise InputError(f"broken frame: {error!r}", str(self.path), "a scene log") from None

    def _decoded(self, record: dict[str, Any]) -> LogFrame:
        stamp, state = record["t"], record["state"]
        x, y, yaw, vx, vy, ax, ay, rate, steering = record["e"]
        ego = EgoState(stamp, Pose2(x, y, yaw), (vx, vy), (ax, ay), rate, steering)
        agents = [self._agent(row) for row in record["a"]]
        agents += [self._agent(record["things"][k]) for k in state["p"]]
        text, action, distance = record["c"]
        scene = Scene(
            stamp,
            ego,
            tuple(agents),
            {k: SignalState(v) for k, v in state["s"].items()},
            DrivingCommand(stamp, self._words[text], DrivingAction(action), distance),
            self._route(stamp, record["r"]),
            frozenset(state["x"]),
            Weather(state["w"][0]),
            state["w"][1],
            self._words[record["l"]] or None,
            state["n"],
            tuple(state["v"]),
        )
        u = record.get("u")
        command = None if u is None else VehicleCommand(stamp, *u)
        return LogFrame(scene, command, record.get("o", {}), tuple(record.get("f", ())))

    def _agent(self, row: list[Any]) -> Agent:
        index, x, y, yaw, vx, vy, acceleration, lane, intention, cause, bits = row
        _, name, cls, length, width, height, color = self._definitions[index]
        return Agent(
            name, AgentClass(cls), x, y, yaw, length, width, height, (vx, vy), acceleration, self._words[lane] or None,
            AgentIntention(intention), Cause(cause), (bits & 3) - 1, bool(bits & 4), bool(bits & 8),
            (color[0], color[1], color[2]),
        )  # fmt: skip

    def _route(self, stamp: int, value: Any) -> Route | None:
        if value is None:
            return None
        if isinstance(value, dict):
            points = np.asarray(value["points"], dtype=np.float64).reshape(-1, 2)
            return Route(stamp, points, tuple(value["lane_ids"]), value["speed_limit"])
        low, high, limit = value
        whole = self.header.route
        if whole is None:
            return None
        lanes = whole.lane_ids[whole.lane_index[low] : whole.lane_index[high - 1] + 1]
        return Route(stamp, whole.points[low:high], lanes, limit)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Records of a log up to its end or to where it was cut."""
    try:
        source = path.open("rb")
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", str(path), "a scene log") from None
    with source:
        stream = zstandard.ZstdDecompressor().decompressobj()
        rest = b""
        while chunk := source.read(1 << 16):
            try:
                rest += stream.decompress(chunk)
            except zstandard.ZstdError:
                return
            *whole, rest = rest.split(b"\n")
            for line in whole:
                try:
                    yield json.loads(line)
                except ValueError:
                    return
            if stream.eof:
                return


def scene_logs(folder: Path) -> list[Path]:
    """Every finished log under a folder, sorted.

    Raises:
        InputError: where there is none.
    """
    found = sorted(folder.rglob(f"*{SCENE_LOG_SUFFIX}"))
    if not found:
        raise InputError("no scene logs", str(folder), f"*{SCENE_LOG_SUFFIX} files (make some with ./vadv2 sim record)")
    return found


def map_of(log: Path, header: SceneLogHeader) -> Path:
    """Where the map of a log lies: ``maps/<hash>.map.zst`` beside it or in a folder above it.

    Raises:
        InputError: where there is none.
    """
    name = f"{header.map_hash[:16]}.map.zst"
    for folder in list(log.resolve().parents)[:4]:
        if (folder / "maps" / name).exists():
            return folder / "maps" / name
    raise InputError(f"its map {name} is missing", str(log), "a folder 'maps' beside the logs")
