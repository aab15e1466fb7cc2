"""A scene log as a rosbag2 folder: rendered cameras, odometry, commands and the truth, which ``replay`` eats."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_bringup.bag_topics import COMMAND, ODOMETRY, ROUTE, TF_STATIC
from vadv2_bringup.bag_writer import BagWriter
from vadv2_bringup.clip_to_bag import static_transforms
from vadv2_bringup.drive_city import write_images
from vadv2_core.camera import CameraRig
from vadv2_core.config import from_mapping
from vadv2_core.decision import Decision
from vadv2_core.errors import InputError
from vadv2_core.road_map_file import load_road_map
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.scene_log import LogFrame, SceneLog, map_of
from vadv2_core.taxonomy import Cause, LateralAction, LongitudinalAction, Weather
from vadv2_core.vehicle import VehicleConfig


def road_map_of(log: SceneLog) -> RoadMap:
    """The map of a log: the file beside it, or the committed town of the same name and hash.

    Raises:
        InputError: where there is neither.
    """
    from vadv2_sim.road_map import town_map
    from vadv2_sim.town import TOWN_NAMES, load_town

    if log.header.town in TOWN_NAMES:
        town = load_town(log.header.town)
        if town.net_hash == log.header.map_hash:
            return town_map(town).road
    return load_road_map(map_of(log.path, log.header))


def decision_of(frame: LogFrame) -> Decision | None:
    """The decision a driver left in a frame's notes."""
    said = frame.notes.get("decision")
    if not isinstance(said, dict):
        return None
    return Decision(
        LongitudinalAction(said["longitudinal"]),
        LateralAction(said["lateral"]),
        Cause(said["cause"]),
        said.get("subject_agent_id"),
    )


def truth_json(scene: Scene) -> str:
    """The Scene's agents, signals and lanes as JSON, for a ``std_msgs/String``."""
    agents = [
        {
            "id": a.id,
            "class": a.cls.name,
            "box": [round(v, 3) for v in (a.x, a.y, a.yaw, a.length, a.width, a.height)],
            "velocity": list(a.velocity),
            "intention": a.intention.name,
            "cause": a.cause.name,
        }
        for a in scene.agents
    ]
    signals = {k: v.name for k, v in scene.signals.items()}
    return json.dumps(
        {
            "stamp": scene.stamp,
            "lane": scene.ego_lane,
            "agents": agents,
            "signals": signals,
            "closed_lanes": sorted(scene.closed_lanes),
            "events": list(scene.events),
            "weather": scene.weather.name,
        }
    )


def write_scene_log_as_bag(
    path: Path,
    out: Path,
    rig: CameraRig,
    weather: str = "",
    limit: int | None = None,
    progress: Callable[[], object] = lambda: None,
) -> int:
    """Render a log and write it as a bag.

    Args:
        path: The log.
        out: The folder to make; whole or not there.
        rig: Cameras to render with.
        weather: Another weather than the log's.
        limit: At most so many frames.
        progress: Called after every frame.

    Returns:
        Frames written.

    Raises:
        InputError: for a log that cannot be read, a map that is missing, or no EGL.
    """
    from vadv2_ros import conversions
    from vadv2_ros.bag_types import bag_typestore
    from vadv2_ros.standard_messages import odometry_from_ego_state
    from vadv2_sim.drive_session import reasoning_of
    from vadv2_sim.narrator import Narrator, Visibility
    from vadv2_sim.renderer import Renderer

    if weather and weather.upper() not in Weather.__members__:
        raise InputError(f"unknown weather {weather!r}", "--weather", ", ".join(w.name.lower() for w in Weather))
    log = SceneLog(path)
    road = road_map_of(log)
    vehicle = from_mapping(VehicleConfig, log.header.vehicle, str(path)) if log.header.vehicle else VehicleConfig()
    renderer, narrator = Renderer(road, rig, vehicle=vehicle), Narrator(road)
    words = np.random.default_rng(log.header.seed)
    text_type: Any = bag_typestore().types["std_msgs/msg/String"]
    decision: Decision | None = None
    count = min(len(log), limit or len(log))
    with BagWriter(out) as bag:
        for k in range(count):
            frame = log[k]
            scene = frame.scene
            if weather:
                scene = replace(scene, weather=Weather[weather.upper()], weather_intensity=0.7)
            stamp = scene.stamp
            decision = decision_of(frame) or decision
            rendered = renderer.render(scene, ground_truth=True)
            seen = None
            if rendered.truth is not None:
                seen = Visibility(rendered.truth.visible_agents(), rendered.truth.visible_signals())
            narration = narrator.narrate(scene, decision, seen, words, not rendered.frame.valid.all())
            if k == 0:
                bag.write(TF_STATIC, static_transforms(rig, stamp), stamp, latched=True)
            bag.write(ODOMETRY, odometry_from_ego_state(scene.ego), stamp)
            bag.write("/ego_state", conversions.ego_state_to_message(scene.ego), stamp)
            bag.write(COMMAND, conversions.driving_command_to_message(scene.command), stamp, latched=True)
            if scene.route is not None:
                bag.write(ROUTE, conversions.route_to_message(scene.route), stamp, latched=True)
            write_images(bag, rendered.frame)
            bag.write("/truth/scene", text_type(truth_json(scene)), stamp)
            said = reasoning_of(narration, decision, log.header.driver or "narrator")
            bag.write("/truth/reasoning", conversions.reasoning_to_message(said), stamp)
            if frame.vehicle_command is not None:
                bag.write("/vehicle_command", conversions.vehicle_command_to_message(frame.vehicle_command), stamp)
            progress()
    renderer.close()
    return count
