"""A rig as the network takes it: scaled cameras, ray encodings, and where each camera stood when it exposed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vadv2_core.camera import CameraRig
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array, Pose2
from vadv2_core.stamps import seconds_between
from vadv2_perception.model import RigTensors, SceneModel
from vadv2_perception.rays import token_intrinsics


@dataclass(frozen=True, slots=True)
class RigArrays:
    """What depends on nothing but the rig; made once for each.

    Attributes:
        rig: As mounted.
        k: (cameras, 3, 3) of the network's images, px.
        k_tokens: (cameras, 3, 3) at token resolution.
        t_base_camera: (cameras, 4, 4).
        rays: (cameras, h, w, c) ray encodings.
    """

    rig: CameraRig
    k: Array
    k_tokens: Array
    t_base_camera: Array
    rays: NDArray[np.float32]


def rig_arrays(rig: CameraRig, model: SceneModel) -> RigArrays:
    """Scale a rig to the network's images and encode its rays."""
    config = model.config
    cameras = rig.scaled(config.image_width, config.image_height).cameras
    k = np.stack([c.k for c in cameras])
    t = np.stack([c.t_base_camera for c in cameras])
    device = next(model.parameters()).device
    tensors = RigTensors(
        torch.tensor(k, dtype=torch.float32, device=device)[None],
        torch.tensor(t, dtype=torch.float32, device=device)[None],
        torch.ones(1, len(cameras), device=device),
    )
    with torch.inference_mode():
        rays = model.rays(tensors)[0].cpu().numpy()
    return RigArrays(rig, k, token_intrinsics(torch.from_numpy(k), config.token_stride).numpy(), t, rays)


def same_rig(a: CameraRig, b: CameraRig) -> bool:
    """Whether two rigs see alike: names, sizes, K and T_base_camera."""
    if a is b:
        return True
    return len(a.cameras) == len(b.cameras) and all(
        (p.name, p.width, p.height) == (q.name, q.width, q.height)
        and np.array_equal(p.k, q.k)
        and np.array_equal(p.t_base_camera, q.t_base_camera)
        for p, q in zip(a.cameras, b.cameras, strict=True)
    )


def motion_between(ego: EgoState, seconds: float) -> Pose2:
    """Where base_link is ``seconds`` after (before, if negative) the ego state, in its own frame, at constant twist."""
    turn = ego.yaw_rate * seconds
    vx, vy = ego.velocity
    # Velocity turns with the body: the mean direction over the interval is half the turn away.
    c, s = np.cos(0.5 * turn), np.sin(0.5 * turn)
    chord = np.sinc(0.5 * turn / np.pi) * seconds
    return Pose2(float((c * vx - s * vy) * chord), float((s * vx + c * vy) * chord), float(turn))


def camera_motion(ego: EgoState, stamp: int, camera_stamps: NDArray[np.int64], valid: NDArray[np.bool_]) -> Array:
    """(cameras, 3, 3) SE(2): base_link at each camera's stamp to that at the anchor's; identity where not valid."""
    return np.stack(
        [
            motion_between(ego, seconds_between(stamp, int(s))).to_matrix() if ok else np.eye(3)
            for s, ok in zip(camera_stamps, valid, strict=True)
        ]
    )


def moved_cameras(t_base_camera: Array, motion: Array) -> Array:
    """T_base_camera (cameras, 4, 4) as it is seen from base_link at the anchor's stamp, after `camera_motion`."""
    plane = np.zeros_like(t_base_camera)
    plane[:, :2, :2], plane[:, :2, 3] = motion[:, :2, :2], motion[:, :2, 2]
    plane[:, 2, 2] = plane[:, 3, 3] = 1.0
    return np.asarray(plane @ t_base_camera)
