"""The truth about a moment: what the simulator knows, the expert reads, and evaluation scores against.

A `RoadMap` does not change during a drive; a `Scene` is one moment on it. World frame: metres, x east, y north (or the
odom frame of a recorded log); boxes are given by their centre, the ego by its rear axle.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vadv2_core.command import DrivingCommand, Route
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array
from vadv2_core.stamps import Stamp
from vadv2_core.taxonomy import (
    AgentClass,
    AgentIntention,
    Cause,
    LaneKind,
    LateralAction,
    SignalState,
    StopControl,
    Weather,
)


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane or junction connector.

    Attributes:
        id: Unique in the map.
        kind: What it is for.
        centerline: (n, 2) in the direction of travel.
        width: m.
        speed_limit: m/s.
        successors: Lanes that continue it.
        predecessors: Lanes it continues.
        left: Neighbour one may change to, same direction; None for none.
        right: Likewise.
        junction: Junction it lies in; None on a road.
        turn: For a connector, which way it goes.
        signal: Signal that holds it (connectors); None without.
        control: What holds traffic before it (connectors).
        yields_to: Connectors of the same junction that go first.
    """

    id: str
    kind: LaneKind
    centerline: Array
    width: float
    speed_limit: float
    successors: tuple[str, ...] = ()
    predecessors: tuple[str, ...] = ()
    left: str | None = None
    right: str | None = None
    junction: str | None = None
    turn: LateralAction = LateralAction.STRAIGHT
    signal: str | None = None
    control: StopControl = StopControl.NONE
    yields_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StopLine:
    """Where a lane's traffic waits: a segment (2, 2) across the lane, and what holds it."""

    id: str
    lane: str
    segment: Array
    control: StopControl
    signal: str | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """A pedestrian crossing: its outline (n, 2), junction and signal (None without)."""

    id: str
    polygon: Array
    junction: str | None = None
    signal: str | None = None


@dataclass(frozen=True, slots=True)
class SignalHead:
    """A lamp housing.

    Attributes:
        id: Unique in the map.
        signal: The signal whose state it shows (several heads may show one).
        position: (x, y, z) of its centre, world.
        yaw: Direction it faces, rad.
    """

    id: str
    signal: str
    position: tuple[float, float, float]
    yaw: float


@dataclass(frozen=True, slots=True)
class Sign:
    """A traffic sign: STOP_SIGN or YIELD_SIGN control, position (x, y, z) of its face and the yaw it faces."""

    id: str
    control: StopControl
    position: tuple[float, float, float]
    yaw: float


@dataclass(frozen=True, slots=True)
class RoadMap:
    """A town's roads.

    Attributes:
        name: Of the town or log.
        hash: Of the source it was read from.
        lanes: By id.
        junctions: Outlines (n, 2) by id.
        crossings, stop_lines, signal_heads, signs: What stands and lies there.
        drivable: Outlines (n, 2) whose union is the drivable area.
        boundaries: Polylines (n, 2) of the road's edges.
    """

    name: str
    hash: str
    lanes: dict[str, Lane]
    junctions: dict[str, Array] = field(default_factory=dict)
    crossings: tuple[Crossing, ...] = ()
    stop_lines: tuple[StopLine, ...] = ()
    signal_heads: tuple[SignalHead, ...] = ()
    signs: tuple[Sign, ...] = ()
    drivable: tuple[Array, ...] = ()
    boundaries: tuple[Array, ...] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """Another road user or object, world frame.

    Attributes:
        id: Stable over a drive.
        cls: What it is.
        x, y, yaw: Centre of its box, m and rad.
        length, width, height: m.
        velocity: (vx, vy) m/s, world axes.
        acceleration: Along its heading, m/s^2.
        lane: Lane it is on; None off the lanes.
        intention: What it is about to do.
        cause: Why.
        indicator: -1 right, 0 none, 1 left, 2 hazard lights.
        braking: Brake lights on.
        blue_light: Emergency lights on.
        color: (r, g, b) 0..255, so that a log renders again alike.
    """

    id: str
    cls: AgentClass
    x: float
    y: float
    yaw: float
    length: float
    width: float
    height: float
    velocity: tuple[float, float]
    acceleration: float = 0.0
    lane: str | None = None
    intention: AgentIntention = AgentIntention.UNKNOWN
    cause: Cause = Cause.UNKNOWN
    indicator: int = 0
    braking: bool = False
    blue_light: bool = False
    color: tuple[int, int, int] = (128, 128, 128)


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment of a drive.

    Attributes:
        stamp: Simulated or recorded time.
        ego: The ego; its pose is in the world frame.
        agents: Everyone and everything else near the ego.
        signals: State of every signal near the ego, by signal id.
        command: What the ego is asked to do.
        route: The way ahead; None in a log without one.
        closed_lanes: Ids of lanes that must not be driven (road works).
        weather: How it looks.
        weather_intensity: In [0, 1].
        ego_lane: Lane the ego is on; None off the lanes.
        scenario: Name of the scenario; empty in plain traffic.
        events: What the scenario's trigger has started, by name (``"cut_in"``), for the narrator.
    """

    stamp: Stamp
    ego: EgoState
    agents: tuple[Agent, ...]
    signals: dict[str, SignalState]
    command: DrivingCommand
    route: Route | None
    closed_lanes: frozenset[str] = frozenset()
    weather: Weather = Weather.DAY
    weather_intensity: float = 0.0
    ego_lane: str | None = None
    scenario: str = ""
    events: tuple[str, ...] = ()
