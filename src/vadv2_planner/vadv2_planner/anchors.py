"""Anchors: the futures that denoising begins with, and the constants that normalise them.

They are made from trajectories by k-means (Euclidean, on flattened positions) and live in one JSON file. Constants are
kept for each waypoint and axis: one box for all eight seconds would noise the first half second by metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_json_atomic
from vadv2_core.geometry import Array
from vadv2_core.vehicle import VehicleConfig
from vadv2_planner.motion import KNOT_INTERVAL, KNOTS

ANCHOR_FORMAT = 1
DEFAULT_PATH = Path(__file__).parent / "data" / "anchors.json"
"""The shipped kinematic prior: ``./vadv2 anchors --from kinematic``."""


@dataclass(frozen=True, slots=True)
class AnchorSet:
    """Anchors and normalisation.

    Attributes:
        anchors: (modes, knots, 2) m in base_link, first at 0.5 s.
        offset: (knots, 2) m; normalised = (m - offset) / scale lies in [-1, 1].
        scale: (knots, 2) m.
        source: What they were made from, in words.
    """

    anchors: Array
    offset: Array
    scale: Array
    source: str


def kinematic_trajectories(count: int, seed: int, vehicle: VehicleConfig | None = None, knots: int = KNOTS) -> Array:
    """(count, knots, 2) waypoints of a kinematic bicycle under random comfortable driving, seeded.

    Speeds 0 .. 22 m/s; three phases of acceleration in [-4, 2] m/s^2; two phases of curvature bounded by the steering
    angle and 2.5 m/s^2 of lateral acceleration, straight in a third of all; a tenth stand still. A prior for untrained
    weights, not data.
    """
    vehicle = vehicle or VehicleConfig()
    rng = np.random.default_rng(seed)
    dt = 0.05
    steps = round(knots * KNOT_INTERVAL / dt)
    time = np.arange(steps) * dt
    speed: Array = rng.uniform(0.0, 22.0, count) * (rng.random(count) > 0.1)
    still = speed == 0.0
    still &= rng.random(count) < 0.7
    phases = np.sort(rng.uniform(0.0, steps * dt, (count, 2)), axis=1)
    accelerations = np.clip(rng.normal(0.0, 1.2, (count, 3)), -4.0, 2.0)
    curvatures = rng.normal(0.0, 0.06, (count, 2)) * (rng.random((count, 1)) > 0.35)
    switch = rng.uniform(0.0, steps * dt, count)
    sharpest = np.tan(vehicle.max_steering_angle) / vehicle.wheel_base
    x, y, yaw, kappa = np.zeros((4, count))
    out = np.empty((count, steps, 2))
    for i, now in enumerate(time):
        phase = (now > phases[:, 0]).astype(int) + (now > phases[:, 1])
        a = np.where(still, 0.0, accelerations[np.arange(count), phase])
        target = np.where(now > switch, curvatures[:, 1], curvatures[:, 0])
        bound = np.minimum(sharpest, 2.5 / np.maximum(speed, 1.0) ** 2)
        kappa += np.clip(np.clip(target, -bound, bound) - kappa, -0.08 * dt, 0.08 * dt)
        kappa = np.clip(kappa, -bound, bound)
        after = np.clip(speed + a * dt, 0.0, vehicle.max_speed)
        way = 0.5 * (speed + after) * dt
        middle = yaw + 0.5 * way * kappa
        x, y, yaw, speed = x + way * np.cos(middle), y + way * np.sin(middle), yaw + way * kappa, after
        out[:, i] = np.stack([x, y], axis=-1)
    stride = round(KNOT_INTERVAL / dt)
    return out[:, stride - 1 :: stride]


def _owners(flat: Array, centres: Array) -> NDArray[np.int64]:
    """Index of the nearest centre of every row, in pieces that fit a cache of memory rather than all of it."""
    lengths = (centres**2).sum(-1)
    pieces = [(lengths - 2.0 * flat[i : i + 1024] @ centres.T).argmin(1) for i in range(0, len(flat), 1024)]
    return np.concatenate(pieces)


def distance_to_nearest(trajectories: Array, anchors: Array) -> Array:
    """(n,) mean distance (m) over the waypoints from every trajectory to the anchor it would be clustered with."""
    rows = len(anchors)
    owner = _owners(trajectories.reshape(len(trajectories), -1), anchors.reshape(rows, -1))
    return np.asarray(np.linalg.norm(trajectories - anchors[owner], axis=-1).mean(-1))


def cluster(trajectories: Array, modes: int, seed: int, rounds: int = 50) -> Array:
    """(modes, knots, 2) k-means centres, k-means++ start, sorted by the forward and then the left end.

    Raises:
        InputError: for fewer trajectories than modes or values that are not finite.
    """
    flat = np.asarray(trajectories, dtype=np.float64).reshape(len(trajectories), -1)
    if len(flat) < modes:
        raise InputError(f"{len(flat)} trajectories", "anchors", f"at least {modes}")
    if not np.isfinite(flat).all():
        raise InputError("a trajectory is not finite", "anchors", "numbers")
    rng = np.random.default_rng(seed)
    centres = flat[rng.integers(len(flat))][None]
    nearest = ((flat - centres[0]) ** 2).sum(-1)
    for _ in range(modes - 1):
        total = nearest.sum()
        pick = rng.choice(len(flat), p=nearest / total) if total > 0.0 else rng.integers(len(flat))
        centres = np.concatenate([centres, flat[pick][None]])
        nearest = np.minimum(nearest, ((flat - flat[pick]) ** 2).sum(-1))
    for _ in range(rounds):
        owner = _owners(flat, centres)
        count = np.bincount(owner, minlength=modes)
        moved = np.zeros_like(centres)
        np.add.at(moved, owner, flat)
        moved = np.where(count[:, None] > 0, moved / np.maximum(count, 1)[:, None], centres)
        if np.allclose(moved, centres):
            break
        centres = moved
    shaped = centres.reshape(modes, *trajectories.shape[1:])
    return np.asarray(shaped[np.lexsort((shaped[:, -1, 1], shaped[:, -1, 0]))])


def normalisation(trajectories: Array, margin: float = 0.15) -> tuple[Array, Array]:
    """Offset and scale (knots, 2) of the box of all trajectories, each waypoint and axis with a margin.

    The box is not symmetric where the data is not. A side is never less than half a metre.
    """
    low, high = trajectories.min(axis=0), trajectories.max(axis=0)
    middle = 0.5 * (low + high)
    half = np.maximum(0.5 * (high - low) * (1.0 + margin), 0.5)
    return np.asarray(middle), np.asarray(half)


def make_anchors(trajectories: Array, modes: int, seed: int, source: str) -> AnchorSet:
    """Cluster trajectories (n, knots, 2) into anchors and take the constants from all of them."""
    offset, scale = normalisation(trajectories)
    return AnchorSet(np.round(cluster(trajectories, modes, seed), 4), np.round(offset, 4), np.round(scale, 4), source)


def save_anchors(path: Path, anchors: AnchorSet) -> None:
    """Write an anchor file (JSON)."""
    write_json_atomic(
        path,
        {
            "format": ANCHOR_FORMAT,
            "source": anchors.source,
            "interval_s": KNOT_INTERVAL,
            "offset": anchors.offset.tolist(),
            "scale": anchors.scale.tolist(),
            "anchors": anchors.anchors.tolist(),
        },
    )


def load_anchors(path: Path = DEFAULT_PATH) -> AnchorSet:
    """Read an anchor file.

    Raises:
        InputError: for a file of another format or with other shapes, naming the field.
    """
    values: Any = read_json(path)
    if not isinstance(values, dict) or values.get("format") != ANCHOR_FORMAT:
        raise InputError("is not an anchor file", str(path), f"format {ANCHOR_FORMAT}")
    if values.get("interval_s") != KNOT_INTERVAL:
        raise InputError(f"interval_s is {values.get('interval_s')}", str(path), f"{KNOT_INTERVAL}")
    arrays = {}
    for key, rank in (("anchors", 3), ("offset", 2), ("scale", 2)):
        try:
            arrays[key] = np.asarray(values.get(key), dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{key} is not an array of numbers", str(path), "numbers") from None
        if arrays[key].ndim != rank or arrays[key].shape[-1] != 2 or not np.isfinite(arrays[key]).all():
            raise InputError(f"{key} has shape {arrays[key].shape}", str(path), "[modes,] waypoints, 2, finite")
    if arrays["offset"].shape != arrays["anchors"].shape[1:] or arrays["scale"].shape != arrays["offset"].shape:
        raise InputError("offset and scale do not fit the anchors", str(path), "one pair a waypoint")
    if (arrays["scale"] <= 0.0).any():
        raise InputError("a scale is not positive", str(path), "metres > 0")
    return AnchorSet(arrays["anchors"], arrays["offset"], arrays["scale"], str(values.get("source", "")))


def load_trajectories(path: Path) -> Array:
    """(n, KNOTS, 2) waypoints from the tensor ``trajectories`` of a safetensors file.

    Raises:
        InputError: for a file without it, or with another shape than (n, 16, 2) at 0.5 s or (n, 80, 2) at 0.1 s.
    """
    try:
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot be read: {error}", str(path), "a safetensors file") from None
    if "trajectories" not in tensors:
        raise InputError("no tensor 'trajectories'", str(path), f"(n, {KNOTS}, 2) or (n, {5 * KNOTS}, 2)")
    values = np.asarray(tensors["trajectories"], dtype=np.float64)
    if values.ndim != 3 or values.shape[1] not in (KNOTS, 5 * KNOTS) or values.shape[2] != 2:
        raise InputError(
            f"trajectories have shape {values.shape}", str(path), f"(n, {KNOTS}, 2) or (n, {5 * KNOTS}, 2)"
        )
    return values if values.shape[1] == KNOTS else values[:, 4::5]
