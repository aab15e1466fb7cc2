"""A scene's road users, objects and signal heads as instances of meshes, with the light they give and the shade."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array, Pose2
from vadv2_core.scene import Agent, RoadMap, Scene
from vadv2_core.stamps import NANOSECONDS, Stamp
from vadv2_core.taxonomy import AgentClass, SignalState
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.renderer import figures, vehicles
from vadv2_sim.renderer.atmosphere import Atmosphere
from vadv2_sim.renderer.city import City

INSTANCE_FLOATS = 18
"""Floats of an instance: place 4, scale 3, colour 3, lamps 4, state 4 (see shaders.py)."""
DECAL_FLOATS = 12

MESHES: dict[str, tuple[Callable[[], NDArray[np.float32]], tuple[float, float, float]]] = {
    "car": (vehicles.car, (4.5, 1.8, 1.48)),
    "van": (vehicles.van, (4.7, 1.85, 1.8)),
    "truck": (vehicles.truck, (9.0, 2.5, 3.4)),
    "bus": (vehicles.bus, (12.0, 2.55, 3.1)),
    "ambulance": (vehicles.ambulance, (5.8, 2.1, 2.6)),
    "motorcycle": (vehicles.motorcycle, (2.2, 0.8, 1.75)),
    "bicycle": (vehicles.bicycle, (1.75, 0.6, 1.85)),
    "pedestrian": (figures.pedestrian, (0.5, 0.55, 1.77)),
    "cone": (figures.cone, (0.44, 0.44, 0.75)),
    "barrier": (vehicles.barrier, (0.4, 2.0, 1.1)),
    "road_work_sign": (figures.road_work_sign, (0.6, 1.2, 2.1)),
    "box": (figures.box, (1.0, 1.0, 1.0)),
    "signal_head": (figures.signal_head, (1.0, 1.0, 1.0)),
}
"""Mesh makers and their sizes (length, width, height), m."""
MESH_NAMES = tuple(MESHES)
_BY_CLASS = {
    AgentClass.CAR: "car",
    AgentClass.TRUCK: "truck",
    AgentClass.BUS: "bus",
    AgentClass.MOTORCYCLE: "motorcycle",
    AgentClass.BICYCLE: "bicycle",
    AgentClass.PEDESTRIAN: "pedestrian",
    AgentClass.EMERGENCY_VEHICLE: "ambulance",
    AgentClass.TRAFFIC_CONE: "cone",
    AgentClass.BARRIER: "barrier",
    AgentClass.CONSTRUCTION_SIGN: "road_work_sign",
}
_LIT = {
    SignalState.RED: 1,
    SignalState.YELLOW: 2,
    SignalState.GREEN: 4,
    SignalState.RED_YELLOW: 3,
    SignalState.OFF: 0,
    SignalState.UNKNOWN: 0,
}
_GLOW = {
    SignalState.RED: (1.0, 0.08, 0.04),
    SignalState.YELLOW: (1.0, 0.6, 0.05),
    SignalState.GREEN: (0.05, 1.0, 0.45),
    SignalState.RED_YELLOW: (1.0, 0.2, 0.05),
}
_WITH_LAMPS = frozenset({"car", "van", "truck", "bus", "ambulance", "motorcycle"})


@dataclass(frozen=True, slots=True)
class Actors:
    """Instances of one scene.

    Attributes:
        mesh: (n,) index into `MESH_NAMES`.
        rows: (n, `INSTANCE_FLOATS`) float32.
        radius: (n,) of a ball round each, m.
        shades: (k, `DECAL_FLOATS`) dark patches on the ground.
        lights: (k, `DECAL_FLOATS`) patches and halos that add light.
        agents: Agent ids by instance id - 1.
        heads: Signal head ids by instance id - 1 - number of agents.
    """

    mesh: NDArray[np.int64]
    rows: NDArray[np.float32]
    radius: Array
    shades: NDArray[np.float32]
    lights: NDArray[np.float32]
    agents: tuple[str, ...]
    heads: tuple[str, ...]


def mesh_of(agent: Agent) -> str:
    """Name of the mesh an agent is drawn with."""
    if agent.cls is AgentClass.CAR and agent.height > 1.62:
        return "van"
    return _BY_CLASS.get(agent.cls, "box")


def ego_agent(pose: Pose2, vehicle: VehicleConfig) -> Agent:
    """The ego as an agent, for views from outside."""
    x, y = pose.transform((vehicle.centre_offset, 0.0))
    return Agent(
        "ego", AgentClass.CAR, float(x), float(y), pose.yaw, vehicle.length, vehicle.width,
        min(vehicle.height, 1.6), (0.0, 0.0), color=(214, 118, 32),
    )  # fmt: skip


def seconds_of(stamp: Stamp) -> float:
    """Seconds within the hour of a stamp; blinking lamps read it."""
    return (stamp % (3600 * NANOSECONDS)) / NANOSECONDS


def _agent_row(agent: Agent, name: str, number: int, z: float, seconds: float, dark: bool) -> list[float]:
    size = MESHES[name][1]
    phase = (zlib.crc32(agent.id.encode()) & 0xFF) / 256.0
    blink = (seconds * 1.5 + phase) % 1.0 < 0.5
    stride = 0.0
    speed = float(np.hypot(*agent.velocity))
    if agent.cls is AgentClass.PEDESTRIAN and speed > 0.2:
        along = agent.x * np.cos(agent.yaw) + agent.y * np.sin(agent.yaw)
        stride = 0.42 * float(np.sin(along * 2 * np.pi / 1.5 + 6.0 * phase))
    scale = [agent.length / size[0], agent.width / size[1], agent.height / size[2]]
    if name == "pedestrian":
        scale = [agent.height / size[2]] * 3
    flash = 0.0
    if agent.blue_light:
        flash = 1.0 if (seconds * 2.2 + phase) % 1.0 < 0.5 else 2.0
    left = blink and agent.indicator in (1, 2)
    right = blink and agent.indicator in (-1, 2)
    if agent.cls is AgentClass.BARRIER:
        left = blink
    lit = dark and name in _WITH_LAMPS and (speed > 0.1 or agent.braking)
    return [
        agent.x, agent.y, z, agent.yaw, *scale, *(c / 255.0 for c in agent.color),
        float(agent.braking), float(left), float(right), flash, stride, 0.0, float(lit), float(number),
    ]  # fmt: skip


def _night_lights(agent: Agent, row: list[float]) -> list[list[float]]:
    """Light pools and halos of one vehicle whose lamps are on."""
    c, s = np.cos(agent.yaw), np.sin(agent.yaw)
    half, side = agent.length / 2, agent.width / 2 - 0.25
    found = []
    if row[16] > 0.5:
        reach = 7.0
        x, y = agent.x + c * (half + reach), agent.y + s * (half + reach)
        found.append([x, y, 0.03, agent.yaw, reach, 2.6, 0, 0, 1.0, 0.95, 0.8, 0.45])
        for k in (-side, side):
            x, y = agent.x + c * half - s * k, agent.y + s * half + c * k
            found.append([x, y, 0.7, 0, 0.4, 0.4, 1, 0, 1.0, 0.95, 0.8, 0.55])
            x, y = agent.x - c * half - s * k, agent.y - s * half + c * k
            found.append([x, y, 0.75, 0, 0.3, 0.3, 1, 0, 1.0, 0.05, 0.03, 0.5])
    return found


def _flashes(agent: Agent, row: list[float], dark: bool) -> list[list[float]]:
    """Halos of brake lamps and blue lights."""
    c, s = np.cos(agent.yaw), np.sin(agent.yaw)
    half, side = agent.length / 2, max(agent.width / 2 - 0.25, 0.0)
    found = []
    strength = 0.8 if dark else 0.35
    if row[10] > 0.5:
        for k in (-side, side):
            x, y = agent.x - c * half - s * k, agent.y - s * half + c * k
            found.append([x, y, 0.7, 0, 0.5, 0.5, 1, 0, 1.0, 0.06, 0.03, strength])
    if row[13] > 0.5:
        k = (0.5 if row[13] == 1.0 else -0.5) * agent.width / 2
        for ahead in (0.17 * agent.length, -0.44 * agent.length):
            x, y = agent.x + c * ahead - s * k, agent.y + s * ahead + c * k
            found.append([x, y, agent.height, 0, 1.3, 1.3, 1, 0, 0.1, 0.35, 1.0, 0.9])
        if dark:
            found.append([agent.x, agent.y, 0.03, 0, 9.0, 9.0, 0, 0, 0.1, 0.3, 1.0, 0.35])
    return found


def place_actors(
    scene: Scene,
    road_map: RoadMap,
    city: City,
    air: Atmosphere,
    near: tuple[Array, float],
    extra: tuple[Agent, ...] = (),
) -> Actors:
    """Turn a scene into instances.

    Args:
        scene: The moment.
        road_map: Its map, for the signal heads.
        city: Its city, for kerbs and lamps.
        air: Its light.
        near: Centre (2,) and radius: what lies outside is left out.
        extra: Agents drawn besides the scene's, without an entry in the truth.
    """
    seconds = seconds_of(scene.stamp)
    dark = air.night > 0.2
    centre, reach = near
    everyone = (*scene.agents, *extra)
    heights = city.ground_height(np.array([[a.x, a.y] for a in everyone]).reshape(-1, 2))
    mesh: list[int] = []
    rows: list[list[float]] = []
    radius: list[float] = []
    shades: list[list[float]] = []
    lights: list[list[float]] = []
    toward = -air.sun[:2] / max(float(air.sun[2]), 0.35) * air.shadow
    for number, agent in enumerate(everyone):
        if abs(agent.x - centre[0]) > reach or abs(agent.y - centre[1]) > reach:
            continue
        name = mesh_of(agent)
        z = float(heights[number]) if agent.cls is AgentClass.PEDESTRIAN else 0.0
        row = _agent_row(agent, name, number + 1 if number < len(scene.agents) else 0, z, seconds, dark)
        mesh.append(MESH_NAMES.index(name))
        rows.append(row)
        radius.append(0.6 * (agent.length + agent.width) + agent.height)
        if air.night < 0.9:
            shift = toward * agent.height * 0.35
            grown = 1.12 + 0.1 * air.shadow
            shades.append(
                [agent.x + shift[0], agent.y + shift[1], z + 0.02, agent.yaw, agent.length / 2 * grown,
                 agent.width / 2 * grown + 0.12 * air.shadow, 0, 0, 0, 0, 0, -(0.34 + 0.3 * air.shadow)]
            )  # fmt: skip
        if name in _WITH_LAMPS:
            lights += _flashes(agent, row, dark)
            if dark:
                lights += _night_lights(agent, row)
    first = len(scene.agents) + 1
    head_mesh = MESH_NAMES.index("signal_head")
    for number, head in enumerate(road_map.signal_heads):
        x, y, z = head.position
        if abs(x - centre[0]) > reach or abs(y - centre[1]) > reach:
            continue
        state = scene.signals.get(head.signal, SignalState.UNKNOWN)
        mesh.append(head_mesh)
        rows.append([x, y, z, head.yaw, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, _LIT[state], 0, first + number])
        radius.append(1.0)
        if state in _GLOW and (dark or air.fog > 0.004):
            rise = {SignalState.RED: 0.44, SignalState.GREEN: -0.44, SignalState.RED_YELLOW: 0.3}.get(state, 0.0)
            c, s = np.cos(head.yaw), np.sin(head.yaw)
            lights.append([x + 0.2 * c, y + 0.2 * s, z + rise, 0, 0.75, 0.75, 1, 0, *_GLOW[state], 0.5])
    if air.sun_color[0] > 0.3:
        x, y, z = np.append(centre, 1.5) + 180.0 * air.sun
        wide = 9.0 + 22.0 * air.glare
        lights.append([float(x), float(y), float(z), 0, wide, wide, 1, 0, *air.sun_color, 0.8])
    if dark:
        away = np.abs(city.lamps - centre).max(axis=1, initial=0.0) if len(city.lamps) else np.zeros(0)
        for x, y in city.lamps[away < min(reach, 150.0)]:
            lights.append([float(x), float(y), 7.25, 0, 0.9, 0.9, 1, 0, 1.0, 0.82, 0.5, 0.5 * air.night])
    return Actors(
        np.array(mesh, dtype=np.int64),
        np.array(rows, dtype=np.float32).reshape(-1, INSTANCE_FLOATS),
        np.array(radius, dtype=np.float64),
        np.array(shades, dtype=np.float32).reshape(-1, DECAL_FLOATS),
        np.array(lights, dtype=np.float32).reshape(-1, DECAL_FLOATS),
        tuple(a.id for a in scene.agents),
        tuple(h.id for h in road_map.signal_heads),
    )
