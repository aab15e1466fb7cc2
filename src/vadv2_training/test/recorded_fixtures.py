"""Small recordings in the published forms, written by hand, and a small model to train on them."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import torch

from vadv2_perception.checkpoints import save_encoder
from vadv2_perception.configuration import ARCHITECTURES
from vadv2_perception.model import SceneModel
from vadv2_planner.anchors import make_anchors
from vadv2_planner.config import ARCHITECTURES as PLANNERS
from vadv2_planner.registry import Belongings, make_network, save_planner
from vadv2_training.recorded.nuscenes import CHANNELS

ENCODER = replace(ARCHITECTURES["tiny"], image_width=128, image_height=64)
"""The tiny encoder on thumbnails."""
START = 1_533_280_000_000_000  # us
VIEWS = {"front": 0, "front_left": 55, "front_right": -55, "back": 180, "back_left": 110, "back_right": -110}


def quaternion(matrix):
    """(w, x, y, z) of a rotation matrix, by its largest part."""
    m = np.asarray(matrix)
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], np.trace(m)],
        ]
    )
    _, vectors = np.linalg.eigh(k / 3.0)
    x, y, z, w = vectors[:, -1]
    return [float(v) for v in (w, x, y, z)]


def about_z(yaw):
    return [float(np.cos(yaw / 2)), 0.0, 0.0, float(np.sin(yaw / 2))]


def optical(yaw):
    """Rotation of an optical frame that looks ``yaw`` to the left."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[s, 0.0, c], [-c, 0.0, s], [0.0, -1.0, 0.0]])


def ego_pose(seconds, speed=6.0, rate=0.1):
    """A steady left-hand circle."""
    yaw = rate * seconds
    return speed / rate * np.sin(yaw), speed / rate * (1 - np.cos(yaw)), yaw


def write_nuscenes(root, frames=12):
    """A scene of key frames every 0.5 s with one parked and one leading car, in nuScenes' tables."""
    tables = {name: [] for name in ("sample", "sample_data", "ego_pose", "sample_annotation")}
    tables["scene"] = [{"token": "scene0", "name": "scene-0001", "first_sample_token": "s0", "description": "made up"}]
    tables["sensor"] = [{"token": f"sensor-{c}", "channel": c, "modality": "camera"} for c in CHANNELS.values()]
    tables["calibrated_sensor"] = []
    tables["category"] = [{"token": "car", "name": "vehicle.car", "description": ""}]
    tables["instance"] = [{"token": i, "category_token": "car"} for i in ("parked", "leader")]
    for name, channel in CHANNELS.items():
        yaw = np.deg2rad(VIEWS[name])
        tables["calibrated_sensor"].append(
            {
                "token": f"calib-{channel}",
                "sensor_token": f"sensor-{channel}",
                "translation": [1.5 * np.cos(yaw), 0.5 * np.sin(yaw), 1.5],
                "rotation": quaternion(optical(yaw)),
                "camera_intrinsic": [[280.0, 0, 159.5], [0, 280.0, 89.5], [0, 0, 1]],
            }
        )
    picture = np.full((180, 320, 3), 90, dtype=np.uint8)
    for i in range(frames):
        micro = START + i * 500_000
        link = {"prev": f"s{i - 1}" if i else "", "next": f"s{i + 1}" if i + 1 < frames else ""}
        tables["sample"].append({"token": f"s{i}", "timestamp": micro, "scene_token": "scene0", **link})
        for offset, channel in enumerate(CHANNELS.values()):
            at = micro + offset * 8_000
            x, y, yaw = ego_pose((at - START) * 1e-6)
            token = f"{channel}-{i}"
            file = f"samples/{channel}/x__{channel}__{at}.jpg"
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / file), picture)
            tables["ego_pose"].append(
                {"token": token, "timestamp": at, "translation": [x, y, 0], "rotation": about_z(yaw)}
            )
            tables["sample_data"].append(
                {
                    "token": token,
                    "sample_token": f"s{i}",
                    "ego_pose_token": token,
                    "calibrated_sensor_token": f"calib-{channel}",
                    "timestamp": at,
                    "is_key_frame": True,
                    "filename": file,
                }
            )
        lx, ly, lyaw = ego_pose(0.5 * i + 2.0)
        for instance, (x, y, yaw) in (("parked", (20.0, -4.0, 0.0)), ("leader", (lx, ly, lyaw))):
            tables["sample_annotation"].append(
                {
                    "token": f"{instance}-{i}",
                    "sample_token": f"s{i}",
                    "instance_token": instance,
                    "visibility_token": "4",
                    "translation": [x, y, 0.8],
                    "size": [1.9, 4.5, 1.6],
                    "rotation": about_z(yaw),
                }
            )
    folder = root / "v1.0-mini"
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(rows))
    return root


def write_drivelm(path):
    """Two key frames of the scene above: a red light ahead."""
    lamp = "<c1,CAM_FRONT,160.0,40.0>"
    frame = {
        "key_object_infos": {lamp: {"Category": "Traffic element", "Status": None, "Visual_description": "Red light."}},
        "QA": {
            "perception": [{"Q": "What are objects to the front of the ego car?", "A": "There is one car."}],
            "prediction": [{"Q": f"What is the future state of {lamp}?", "A": "Stationary."}],
            "planning": [
                {"Q": f"Is {lamp} an object that the ego vehicle should consider in the current scene?", "A": "Yes."},
                {
                    "Q": f"What actions could the ego vehicle take based on {lamp}? Why take this action?",
                    "A": "The action is to brake gently to a stop. The reason is to follow the traffic rules.",
                },
            ],
            "behavior": [
                {
                    "Q": "Predict the behavior of the ego vehicle.",
                    "A": "The ego vehicle is going straight. The ego vehicle is driving slowly.",
                }
            ],
        },
        "image_paths": {"CAM_FRONT": f"../nuscenes/samples/CAM_FRONT/x__CAM_FRONT__{START}.jpg"},
    }
    scene = {"scene_description": "The car nears a light.", "key_frames": {"s0": frame, "s4": frame}}
    path.write_text(json.dumps({"scene0": scene}))
    return path


def write_bddx(path):
    """Annotations of two videos with the columns of the published file, up to its fifteenth stretch."""
    parts = ("start", "end", "action", "justification")
    columns = ["Input.Video", *(f"Answer.{n}{p}" for n in range(1, 16) for p in parts)]
    told = {
        "0001-aa": [
            ("0", "3", "The car slows down", "because the light is red"),
            ("3", "5", "The car turns left", "since the road is clear."),
        ],
        "0002-bb": [("1", "2", "The car stops.", "A pedestrian is crossing")],
    }
    rows = [{"Input.Video": ""}]
    for video, stretches in told.items():
        row = {"Input.Video": f"https://videos.example/{video}.mov"}
        for number, values in enumerate(stretches, start=1):
            row |= {f"Answer.{number}{part}": value for part, value in zip(parts, values, strict=True)}
        rows.append(row)
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def backbone_of(scene):
    """The backbone in torch, as a store is filled with."""

    def run(images):
        with torch.no_grad():
            maps = scene.features(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float())
        return [m.float().numpy() for m in maps]

    return run


def write_model(out):
    """An untrained encoder and planner that belong together; returns the scene model."""
    torch.manual_seed(0)
    scene = SceneModel(ENCODER, pretrained=False).eval()
    saved = save_encoder(out / "perception", scene, "small-untrained")
    t = np.arange(1, 17) * 0.5
    rng = np.random.default_rng(0)
    paths = [
        np.stack([v * t, c * (v * t) ** 2], -1)
        for v, c in zip(rng.uniform(0, 12, 60), rng.normal(0, 0.003, 60), strict=True)
    ]
    planner = make_network(
        "truncated_diffusion", PLANNERS["tiny"], make_anchors(np.array(paths), PLANNERS["tiny"].modes, 0, "made up"), 0
    )
    save_planner(
        out / "planner", "truncated_diffusion", planner, "small-untrained", Belongings(encoder_hash=saved.sha256)
    )
    return scene
