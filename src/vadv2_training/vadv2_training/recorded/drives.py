"""One form for every recorded drive, and its way into a frame store.

A reader says what it knows of each frame; what it does not know is left unknown in the store and asked for by no loss
(`knows` says which parts are there): a bag knows motion, nuScenes motion and objects, DriveLM words besides, BDD-X
words alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraFrame, CameraRig
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.config import to_mapping
from vadv2_core.decision import Decision
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_json_atomic
from vadv2_core.geometry import Array, wrap_angle
from vadv2_core.scene import Agent, RoadMap, Scene
from vadv2_core.taxonomy import EdgeCaseFlag
from vadv2_core.trajectory import PLAN_POINTS, PLAN_RATE_HZ
from vadv2_core.vehicle import VehicleConfig
from vadv2_perception.configuration import EncoderModelConfig
from vadv2_perception.network_images import network_images
from vadv2_perception.rig_arrays import camera_motion, moved_cameras
from vadv2_training.driving_frames import MAX_OTHERS, OTHERS_STEP, Offset, frame_arrays, future_of
from vadv2_training.frame_store import FEATURE_NAMES, quantised, write_shard
from vadv2_training.recorded.motion import Track
from vadv2_training.rendering import Backbone
from vadv2_training.scene_targets import Visibility, scene_targets

MOTION, OBJECTS, WORDS = "motion", "objects", "words"
"""What a source may know."""
FRAME_RATE = 2.0
"""Frames kept a second, as of the simulator's drives."""
_NO_MAP = RoadMap("recorded", "", {})


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of a frame; empty where nothing is known.

    Attributes:
        scene, intent, trace: As the narrator's texts of the same names.
        flags: One a flag; None where it is not known.
        questions: Pairs of a question about the frame and its answer.
    """

    scene: str = ""
    intent: str = ""
    trace: str = ""
    flags: tuple[bool | None, ...] = (None,) * len(EdgeCaseFlag)
    questions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One recorded moment.

    Attributes:
        frame: Images of any size with their rig; one that is not there is marked not valid.
        ego: At the frame's stamp, odom frame.
        command: What was asked of the ego.
        route: The way ahead, odom; None where not recorded.
        agents: Others, odom frame; empty where the source knows none.
        decision: What the ego did and why; parts that are not known are UNKNOWN.
        words: What is said of it.
    """

    frame: CameraFrame
    ego: EgoState
    command: DrivingCommand
    route: Route | None = None
    agents: tuple[Agent, ...] = ()
    decision: Decision | None = None
    words: Words = field(default_factory=Words)


@dataclass(frozen=True, slots=True)
class RecordedDrive:
    """A recorded drive.

    Attributes:
        name: Of its shard; unique in a store.
        source: nuscenes, drivelm, bddx or bag.
        knows: Which of `MOTION`, `OBJECTS`, `WORDS` its frames hold.
        frames: In order of time, `FRAME_RATE` or near it; read once, so they may be made as they are asked for.
        track: Where the ego was, before, between and after the frames; None without motion.
        others: (n, 4) rows [stamp s, x, y, yaw] of others' centres by agent id, odom, n >= 1.
    """

    name: str
    source: str
    knows: frozenset[str]
    frames: Iterable[RecordedFrame]
    track: Track | None = None
    others: Mapping[str, Array] = field(default_factory=dict)


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture file as (H, W, 3) RGB.

    Raises:
        InputError: for one that is missing or no picture.
    """
    if not path.is_file():
        raise InputError("is missing", str(path), "a picture")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise InputError("is no picture", str(path), "a JPEG or PNG file")
    return np.asarray(image, dtype=np.uint8)


def future_on(track: Track, ego: EgoState) -> tuple[Array, Array]:
    """The motion to learn at a frame, (80, 3) in base_link, and (80,) 1 where it was recorded."""
    ahead = np.arange(1, PLAN_POINTS + 1) / PLAN_RATE_HZ
    stamps = ego.stamp + np.rint(ahead * 1e9).astype(np.int64)
    last = int((stamps <= track.end).sum())
    pose = np.array([ego.pose.x, ego.pose.y, ego.pose.yaw])
    poses = np.vstack([pose[None], track.poses_at(stamps[:last])])
    return future_of(poses, np.concatenate([[0.0], ahead[:last]]), 0, Offset(), ego.speed)


def others_on(
    agents: Iterable[Agent], paths: Mapping[str, Array], ego: EgoState
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the nearest others will be: boxes (16, 16, 5) at 0.5 s ... 8 s in base_link, and 1 where known."""
    steps = PLAN_POINTS // OTHERS_STEP
    boxes, known = np.zeros((steps, MAX_OTHERS, 5), np.float32), np.zeros((steps, MAX_OTHERS), np.float32)
    pose = ego.pose
    near = sorted(agents, key=lambda a: (a.x - pose.x) ** 2 + (a.y - pose.y) ** 2)[:MAX_OTHERS]
    wanted = ego.stamp * 1e-9 + np.arange(1, steps + 1) * OTHERS_STEP / PLAN_RATE_HZ
    for slot, agent in enumerate(near):
        path = paths.get(agent.id)
        if path is None:
            continue
        inside = (wanted >= path[0, 0] - 0.06) & (wanted <= path[-1, 0] + 0.06)
        x, y = np.interp(wanted, path[:, 0], path[:, 1]), np.interp(wanted, path[:, 0], path[:, 2])
        yaw = np.interp(wanted, path[:, 0], np.unwrap(path[:, 3]))
        xy = pose.inverse_transform(np.column_stack([x, y]))
        row = np.column_stack([xy, wrap_angle(yaw - pose.yaw), np.full(steps, agent.length)])
        boxes[inside, slot] = np.column_stack([row, np.full(steps, agent.width)])[inside]
        known[inside, slot] = 1.0
    return boxes, known


def _row(
    recorded: RecordedFrame, drive: RecordedDrive, rig: CameraRig, grid: tuple[int, int], vehicle: VehicleConfig
) -> dict[str, NDArray[Any]]:
    ego = recorded.ego
    scene = Scene(ego.stamp, ego, recorded.agents, {}, recorded.command, recorded.route)
    visible = Visibility(frozenset(a.id for a in recorded.agents), frozenset())
    flags = frozenset(f for f in EdgeCaseFlag if recorded.words.flags[f])
    targets = scene_targets(scene, _NO_MAP, visible, flags, rig, grid, vehicle)
    row = frame_arrays([scene], np.zeros(1), 0, Offset(), targets, recorded.decision)
    if drive.track is not None:
        future, known = future_on(drive.track, ego)
        row["future"], row["future_known"] = future.astype(np.float32), known.astype(np.float32)
    row["others"], row["others_known"] = others_on(recorded.agents, drive.others, ego)
    row["camera_valid"] = np.asarray(recorded.frame.valid).astype(np.float32)
    # Where each camera stood when it exposed, seen from base_link at the anchor's stamp.
    stamps = np.asarray(recorded.frame.stamps, dtype=np.int64)
    motion = camera_motion(ego, recorded.frame.stamp, stamps, np.asarray(recorded.frame.valid, dtype=bool))
    row["k"] = np.stack([c.k for c in rig.cameras]).astype(np.float32)
    mounted = np.stack([c.t_base_camera for c in rig.cameras])
    row["t_base_camera"] = moved_cameras(mounted, motion).astype(np.float32)
    return row


def _said(recorded: RecordedFrame) -> dict[str, Any]:
    words, command = recorded.words, recorded.command
    return {
        "scene": words.scene,
        "intent": words.intent,
        "trace": words.trace,
        "flags": list(words.flags),
        "grounded": True,
        "command": command.text,
        "action": int(command.action),
        "distance": command.distance,
        "questions": [list(pair) for pair in words.questions],
    }


def write_recorded_drive(
    drive: RecordedDrive, store: Path, encoder: EncoderModelConfig, backbone: Backbone, vehicle: VehicleConfig
) -> str:
    """Encode a recorded drive into a shard, unless it is there already; the shard's name.

    Args:
        drive: What was recorded.
        store: Folder of the store; one encoder's images only.
        encoder: Whose image size and token grid.
        backbone: The frozen half of the encoder.
        vehicle: The ego's sizes.

    Raises:
        InputError: for a store of another encoder, or a drive without a frame.
    """
    told = {"version": 1, "encoder": to_mapping(encoder), "source": drive.source, "knows": sorted(drive.knows)}
    facts = store / "store.json"
    if facts.exists() and read_json(facts) != told:
        raise InputError("was filled from another source or for another encoder", str(store), "a new folder")
    write_json_atomic(facts, told)
    if (store / f"{drive.name}.safetensors").exists():
        return drive.name
    rows, texts, maps = [], [], []
    for recorded in drive.frames:
        rig = recorded.frame.rig.scaled(encoder.image_width, encoder.image_height)
        rows.append(_row(recorded, drive, rig, encoder.grid, vehicle))
        texts.append(_said(recorded))
        maps.append(backbone(network_images(recorded.frame, encoder.image_width, encoder.image_height)))
    if not rows:
        raise InputError("holds no frame", drive.name, "at least one")
    arrays: dict[str, NDArray[Any]] = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    for index, key in enumerate(FEATURE_NAMES):
        arrays[key], arrays[f"{key}_scale"] = quantised(np.stack([frame[index] for frame in maps]))
    about = {"drive": drive.name, "source": drive.source, "knows": sorted(drive.knows)}
    write_shard(store, drive.name, arrays, about, texts)
    return drive.name
