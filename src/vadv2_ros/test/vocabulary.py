"""One seeded example of every dataclass that crosses a message, with every optional thing both there and absent."""

from __future__ import annotations

import numpy as np

from vadv2_core.camera import SURROUND_CAMERAS, CameraFrame, CameraModel, CameraRig
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.drive import DriveState, DriveStatus, VehicleCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.obstacles import Obstacles
from vadv2_core.reasoning import Reasoning, ReasoningEmbedding
from vadv2_core.taxonomy import Cause, DrivingAction, EdgeCaseFlag, LateralAction, LongitudinalAction
from vadv2_core.tokens import SceneAhead, SceneMap, SceneObjects, SceneTokens
from vadv2_core.trajectory import Trajectory, TrajectoryCandidates

STAMP = 1_763_800_000_123_456_789


def ego_state(rng: np.random.Generator, steering: bool = True) -> EgoState:
    """An ego state with numbers that need every bit."""
    n = rng.normal(size=9).tolist()
    return EgoState(STAMP, Pose2(n[0], n[1], n[2]), (n[3], n[4]), (n[5], n[6]), n[7], n[8] if steering else None)


def rig(rng: np.random.Generator, width: int = 12, height: int = 8) -> CameraRig:
    """Six cameras that look somewhere."""
    cameras = []
    for name in SURROUND_CAMERAS:
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        t = np.eye(4)
        t[:3, :3] = turn * np.sign(np.linalg.det(turn))
        t[:3, 3] = rng.normal(size=3)
        focal = rng.uniform(5, 9)
        k = np.array([[focal, 0.0, 6.0], [0.0, focal, 4.0], [0.0, 0.0, 1.0]])
        cameras.append(CameraModel(name, width, height, k, t))
    return CameraRig(tuple(cameras))


def frame(rng: np.random.Generator) -> CameraFrame:
    """A frame of six small images."""
    images = tuple(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8) for _ in range(6))
    stamps = STAMP + rng.integers(-(10**7), 10**7, 6)
    return CameraFrame(STAMP, rig(rng), images, stamps, rng.random(6) > 0.5)


def tokens(rng: np.random.Generator, n: int = 5, m: int = 3) -> SceneTokens:
    """Tokens with ``n`` objects and ``m`` map elements."""

    def single(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    objects = SceneObjects(
        rng.integers(0, 12, n, dtype=np.int32), single(n), single(n, 5), single(n, 2),
        rng.integers(0, 9, n, dtype=np.int32), single(n),
    )  # fmt: skip
    scene_map = SceneMap(
        rng.integers(0, 5, m, dtype=np.int32), single(m), single(m, 10, 2), rng.integers(0, 6, m, dtype=np.int32),
        single(m), single(m),
    )  # fmt: skip
    return SceneTokens(
        stamp=STAMP,
        tokens=rng.normal(size=(6, 2, 3, 4)).astype(np.float16),
        queries=rng.normal(size=(9, 8)).astype(np.float16),
        objects=objects,
        map=scene_map,
        aux=rng.normal(size=(4, 8)).astype(np.float16),
        ego=ego_state(rng),
        k=rng.normal(size=(6, 3, 3)),
        t_base_camera=rng.normal(size=(6, 4, 4)),
        camera_stamps=STAMP + rng.integers(-(10**7), 10**7, 6),
        t_anchor_camera_time=rng.normal(size=(6, 3, 3)),
        camera_valid=rng.random(6) > 0.5,
        novelty=float(rng.random()),
        encoder_hash="ab12",
        model_id="tiny-1-untrained",
        ahead=SceneAhead(
            rng.random(6).astype(np.float32),
            *rng.random(5).tolist(),
            *(rng.random(n).astype(np.float32) for n in (6, 10)),
        ),
    )


def candidates(rng: np.random.Generator, chosen: int | None = 3) -> TrajectoryCandidates:
    """Twenty modes of eighty points."""
    return TrajectoryCandidates(
        STAMP, Pose2(*rng.normal(size=3).tolist()), rng.normal(size=(20, 80, 6)), rng.random(20), chosen,
        "" if chosen is not None else "too curved", "slow for the red light – “now”", "as_intended", 2,
        {"tokens": 0.031, "ego": 0.0}, ("untrained weights", "no reasoning"), "planner-1",
        ("meets a car in 1.5 s", *[""] * 19),
    )  # fmt: skip


def examples(rng: np.random.Generator) -> dict[str, tuple[str, list[object]]]:
    """Examples by name of the conversion, each with its message type."""
    n = rng.normal(size=12).tolist()
    reasoning = Reasoning(
        STAMP, "a crossing, wet", "stop for the pedestrian", Cause.PEDESTRIAN,
        rng.random(len(EdgeCaseFlag)).astype(np.float32), "because …", LongitudinalAction.STOP, float(n[0]),
        LateralAction.LEFT_CHANGE, float(n[1]), "vlm-1", 0.7071, True,
    )  # fmt: skip
    status = DriveStatus(STAMP, DriveState.SOFT_STOP, "no plan for 0.6 s", True, {"plan": 0.6}, {"planner": 31.5}, {})
    trajectory = Trajectory(STAMP, Pose2(*n[:3]), rng.normal(size=(80, 6)), float(n[3]), "words")
    commands = [VehicleCommand(STAMP, STAMP - 1, *n[5:9]), VehicleCommand(1, 0, *n[:4])]
    route = Route(STAMP, rng.normal(size=(7, 2)), ("a", "b"), 13.9)
    return {
        "ego_state": ("EgoState", [ego_state(rng), ego_state(rng, steering=False)]),
        "driving_command": ("DrivingCommand", [DrivingCommand(STAMP, "turn left", DrivingAction.LEFT, float(n[4]))]),
        "route": ("Route", [route, Route(STAMP, rng.normal(size=(2, 2)))]),
        "scene_tokens": ("SceneTokens", [tokens(rng), tokens(rng, 0, 0)]),
        "embedding": (
            "ReasoningEmbedding",
            [ReasoningEmbedding(STAMP, np.array(n, dtype=np.float32), "vlm-1", rng.random(5).astype(np.float32))],
        ),
        "reasoning": ("Reasoning", [reasoning]),
        "trajectory": ("Trajectory", [trajectory]),
        "candidates": ("TrajectoryCandidates", [candidates(rng), candidates(rng, None)]),
        "vehicle_command": ("VehicleCommand", commands),
        "drive_status": ("DriveStatus", [status]),
        "obstacles": (
            "Obstacles",
            [
                Obstacles(STAMP, rng.normal(size=(3, 5)), rng.normal(size=(3, 2))),
                Obstacles(STAMP, np.zeros((0, 5)), np.zeros((0, 2))),
            ],
        ),
        "rig": ("CameraRig", [rig(rng)]),
        "frame": ("CameraFrame", [frame(rng)]),
    }
