"""What the token door reads of a frame: a few ordered slots of numbers, small enough to be cached by the million."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array
from vadv2_core.route_ahead import ROUTE_DISTANCES, ROUTE_FEATURES
from vadv2_core.taxonomy import AgentClass, AgentIntention, EdgeCaseFlag, MapElementClass, SignalState, Weather
from vadv2_core.tokens import SceneTokens
from vadv2_vlm.config import SlotConfig

MAP_POINTS = 4
OBJECT_FEATURES = len(AgentClass) + len(AgentIntention) + 15
MAP_FEATURES = len(MapElementClass) + len(SignalState) + 2 * MAP_POINTS + 4
EGO_FEATURES = 8
WAY_FEATURES = len(ROUTE_DISTANCES) * ROUTE_FEATURES + 1
AHEAD_FEATURES = len(SignalState) + 10 + len(Weather) + len(EdgeCaseFlag)
RANGE = 50.0
"""m, the scale of places and distances."""
_COMFORTABLE = 3.0
"""m/s², the braking that one feature of a stop line or a lead is told in."""


@dataclass(frozen=True, slots=True)
class SceneSlots:
    """One frame's slots; every array float16, rows that are not filled are zero.

    Attributes:
        ego: (EGO_FEATURES,) speed, accelerations, yaw rate, steering, whether it is known, novelty, 1.
        ahead: (AHEAD_FEATURES,) the next signal, stop line and lead, then the probability of each weather and of each
            edge-case flag, as the query of the whole scene sees them.
        way: (WAY_FEATURES,) the route ahead, by which a bend is known before it is seen, and 1; zeros without one.
        objects: (objects, OBJECT_FEATURES) class, intention, place, heading, size, velocity, time to reach.
        map: (map_elements, MAP_FEATURES) class, signal state, points, confidences.
        queries: (q, query_channels) all scene queries.
        cameras: (cameras, image_channels) mean image token.
        rays: (cameras, 3) viewing direction x, y in base_link, and 1 where the camera is valid.
    """

    ego: NDArray[np.float16]
    ahead: NDArray[np.float16]
    way: NDArray[np.float16]
    objects: NDArray[np.float16]
    map: NDArray[np.float16]
    queries: NDArray[np.float16]
    cameras: NDArray[np.float16]
    rays: NDArray[np.float16]


@dataclass(slots=True)
class TokenBatch:
    """`SceneSlots` of several frames, stacked: the same fields, float32 tensors with a batch dimension first."""

    ego: torch.Tensor
    ahead: torch.Tensor
    way: torch.Tensor
    objects: torch.Tensor
    map: torch.Tensor
    queries: torch.Tensor
    cameras: torch.Tensor
    rays: torch.Tensor

    def to(self, device: torch.device | str) -> TokenBatch:
        """The batch on a device."""
        return TokenBatch(*(getattr(self, f.name).to(device) for f in fields(self)))


def _one_hot(index: int, size: int) -> NDArray[np.float32]:
    row = np.zeros(size, dtype=np.float32)
    if 0 <= index < size:
        row[index] = 1.0
    return row


def _object_rows(tokens: SceneTokens, count: int) -> NDArray[np.float32]:
    o = tokens.objects
    rows = np.zeros((count, OBJECT_FEATURES), dtype=np.float32)
    if len(o.classes) == 0:
        return rows
    x, y = o.boxes[:, 0], o.boxes[:, 1]
    # What is behind or to the side matters less to the next seconds than what is in front.
    order = np.argsort(np.hypot(np.where(x < 0.0, 2.0 * x, x), 1.5 * y), kind="stable")[:count]
    speed = max(tokens.ego.speed, 0.5)
    for row, i in enumerate(order):
        box, velocity = o.boxes[i], o.velocities[i]
        rows[row] = np.concatenate(
            [
                _one_hot(int(o.classes[i]), len(AgentClass)),
                _one_hot(int(o.intentions[i]), len(AgentIntention)) * o.intention_confidence[i],
                [1.0, o.confidence[i], box[0] / RANGE, box[1] / RANGE, np.hypot(box[0], box[1]) / RANGE],
                [np.clip(box[1] / 4.0, -2.0, 2.0), np.clip(box[0] / speed / 5.0, -2.0, 2.0)],
                [np.cos(box[2]), np.sin(box[2]), box[3] / 10.0, box[4] / 4.0],
                [velocity[0] / 10.0, velocity[1] / 10.0, np.hypot(*velocity) / 10.0, float(np.hypot(*velocity) < 0.5)],
            ]
        )
    return rows


def _map_rows(tokens: SceneTokens, count: int) -> NDArray[np.float32]:
    m = tokens.map
    rows = np.zeros((count, MAP_FEATURES), dtype=np.float32)
    if len(m.classes) == 0:
        return rows
    held = (m.signal_states > 0) | (m.classes == MapElementClass.STOP_LINE) | (m.classes == MapElementClass.CROSSING)
    order = np.argsort(-(m.relevant * m.confidence + held), kind="stable")[:count]
    pick = np.linspace(0, m.points.shape[1] - 1, MAP_POINTS).round().astype(int)
    for row, i in enumerate(order):
        points = m.points[i, pick]
        rows[row] = np.concatenate(
            [
                _one_hot(int(m.classes[i]), len(MapElementClass)),
                _one_hot(int(m.signal_states[i]), len(SignalState)) * m.signal_confidence[i],
                points.ravel() / RANGE,
                [1.0, m.confidence[i], m.relevant[i], np.clip(points[:, 0].mean() / 15.0, -2.0, 2.0)],
            ]
        )
    return rows


def _ahead_row(tokens: SceneTokens) -> NDArray[np.float32]:
    a, speed = tokens.ahead, tokens.ego.speed
    approach = max(speed - a.lead_speed, 0.0)

    def braking(change: float, distance: float) -> float:
        """What it would take to lose this speed within this distance, in comfortable brakings."""
        return float(np.clip(change * abs(change) / (2.0 * max(distance, 0.5)) / _COMFORTABLE, -2.0, 2.0))

    stop = [
        a.stop_distance / RANGE,
        float(np.clip(a.stop_distance / 10.0, -1.0, 2.0)),
        braking(speed, a.stop_distance),
    ]
    lead = [a.lead_gap / RANGE, float(np.clip(a.lead_gap / max(speed, 0.5) / 5.0, 0.0, 2.0)), a.lead_speed / 10.0]
    told = [a.stop_confidence, *(a.stop_confidence * v for v in stop)]
    told += [
        a.lead_confidence,
        *(a.lead_confidence * v for v in (*lead, approach / 10.0, braking(approach, a.lead_gap))),
    ]
    return np.concatenate([a.signal, told, a.weather, a.flags]).astype(np.float32)


def _way_row(route: Array | None) -> NDArray[np.float32]:
    if route is None:
        return np.zeros(WAY_FEATURES, dtype=np.float32)
    return np.append(route.ravel(), 1.0).astype(np.float32)


def scene_slots(tokens: SceneTokens, config: SlotConfig, route: Array | None = None) -> SceneSlots:
    """The slots of a frame.

    Args:
        tokens: Of the frame.
        config: Sizes.
        route: `vadv2_core.route_ahead.route_ahead` of the ego's pose; None for none.

    Raises:
        InputError: where the encoder's channels are not those of the projector.
    """
    for name, got, want in (
        ("image tokens", tokens.tokens.shape[-1], config.image_channels),
        ("scene queries", tokens.queries.shape[-1], config.query_channels),
    ):
        if got != want:
            raise InputError(f"{name} have {got} channels", "scene tokens", f"{want}, as the reasoner was made for")
    e = tokens.ego
    steering = e.steering_angle
    ego = np.array(
        [
            e.velocity[0] / 10.0,
            e.acceleration[0] / 3.0,
            e.acceleration[1] / 3.0,
            e.yaw_rate,
            0.0 if steering is None else steering,
            float(steering is not None),
            min(tokens.novelty, 4.0),
            1.0,
        ]
    )
    n = min(config.cameras, tokens.tokens.shape[0])
    cameras = np.zeros((config.cameras, config.image_channels), dtype=np.float32)
    rays = np.zeros((config.cameras, 3), dtype=np.float32)
    cameras[:n] = tokens.tokens[:n].astype(np.float32).mean(axis=(1, 2))
    rays[:n, :2] = tokens.t_base_camera[:n, :2, 2]
    rays[:n, 2] = tokens.camera_valid[:n]
    return SceneSlots(
        ego=ego.astype(np.float16),
        ahead=_ahead_row(tokens).astype(np.float16),
        way=_way_row(route).astype(np.float16),
        objects=_object_rows(tokens, config.objects).astype(np.float16),
        map=_map_rows(tokens, config.map_elements).astype(np.float16),
        queries=tokens.queries,
        cameras=cameras.astype(np.float16),
        rays=rays.astype(np.float16),
    )


def token_batch(slots: Sequence[SceneSlots]) -> TokenBatch:
    """Slots of several frames as one batch."""

    def stack(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([getattr(s, name) for s in slots]).astype(np.float32))

    return TokenBatch(*(stack(f.name) for f in fields(SceneSlots)))
