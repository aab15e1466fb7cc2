"""What perception says of a frame: image tokens, decoded queries, ego tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vadv2_core.ego import EgoState
from vadv2_core.geometry import Array
from vadv2_core.stamps import Stamp
from vadv2_core.taxonomy import EdgeCaseFlag, SignalState, Weather


@dataclass(frozen=True, slots=True)
class SceneObjects:
    """What the object queries say, base_link at the frame's stamp; n objects, most confident first.

    Attributes:
        classes: (n,) int32 `AgentClass`.
        confidence: (n,) float32 in [0, 1].
        boxes: (n, 5) float32 centre x, y, yaw, length, width.
        velocities: (n, 2) float32 m/s over ground, in base_link axes.
        intentions: (n,) int32 `AgentIntention`.
        intention_confidence: (n,) float32 in [0, 1].
    """

    classes: NDArray[np.int32]
    confidence: NDArray[np.float32]
    boxes: NDArray[np.float32]
    velocities: NDArray[np.float32]
    intentions: NDArray[np.int32]
    intention_confidence: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SceneMap:
    """What the map queries say, base_link at the frame's stamp; m elements of p points.

    Attributes:
        classes: (m,) int32 `MapElementClass`.
        confidence: (m,) float32 in [0, 1].
        points: (m, p, 2) float32 polylines.
        signal_states: (m,) int32 `SignalState` of the light that holds this element (stop lines), else UNKNOWN.
        signal_confidence: (m,) float32 in [0, 1].
        relevant: (m,) float32 in [0, 1], probability that it concerns the ego's path.
    """

    classes: NDArray[np.int32]
    confidence: NDArray[np.float32]
    points: NDArray[np.float32]
    signal_states: NDArray[np.int32]
    signal_confidence: NDArray[np.float32]
    relevant: NDArray[np.float32]


AHEAD_VECTORS = {"signal": len(SignalState), "weather": len(Weather), "flags": len(EdgeCaseFlag)}
"""Length by name of those parts of `SceneAhead` that are vectors; the others are single numbers."""


def _first_of(size: int) -> NDArray[np.float32]:
    """(size,) probabilities that are all on the first."""
    row = np.zeros(size, dtype=np.float32)
    row[0] = 1.0
    return row


@dataclass(frozen=True, slots=True)
class SceneAhead:
    """What the query of the whole scene says of the way ahead, and of what it drives into.

    Attributes:
        signal: (6,) float32 probability of each `SignalState` of the next signal on the way; the first is "none seen".
        stop_confidence: In [0, 1], that a stop line is ahead.
        stop_distance: m from the front bumper to it.
        lead_confidence: In [0, 1], that a vehicle is ahead on the way.
        lead_gap: m from the front bumper to it.
        lead_speed: m/s along the way.
        weather: (6,) float32 probability of each `Weather`; all on the first, day, where nothing is said of it: a
            `Scene` that does not tell is by day, and the taxonomy has no word for not knowing.
        flags: (10,) float32 in [0, 1] each, probability that the `EdgeCaseFlag` of that index holds.
    """

    signal: NDArray[np.float32]
    stop_confidence: float
    stop_distance: float
    lead_confidence: float
    lead_gap: float
    lead_speed: float
    weather: NDArray[np.float32] = field(default_factory=lambda: _first_of(len(Weather)))
    flags: NDArray[np.float32] = field(default_factory=lambda: np.zeros(len(EdgeCaseFlag), dtype=np.float32))


def nothing_ahead() -> SceneAhead:
    """A scene that nothing is said of: no signal, line or vehicle, by day, no flag."""
    return SceneAhead(_first_of(len(SignalState)), 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class SceneTokens:
    """The features of one frame, history already fused in, and what is needed to know where each one looks.

    Attributes:
        stamp: Of the anchor camera.
        tokens: (cameras, h, w, c) float16 image tokens; zero for a camera that is not valid.
        queries: (q, d) float16 features of the scene queries, objects first, then map, then one of the whole scene.
        objects: The object queries in words.
        map: The map queries in words.
        aux: (a, d) float16 ego tokens (speed, acceleration, yaw rate, steering).
        ego: The ego state at the stamp, as perception used it.
        k: (cameras, 3, 3) intrinsics at token resolution, tokens as pixels.
        t_base_camera: (cameras, 4, 4).
        camera_stamps: (cameras,) int64.
        t_anchor_camera_time: (cameras, 3, 3) SE(2): base_link at the camera's stamp to base_link at the anchor's.
        camera_valid: (cameras,) bool.
        novelty: How unlike the training scenes this one is, as a multiple of the calibrated threshold (above 1:
            unlike any); 0 where the encoder was never calibrated.
        encoder_hash: Identifies the encoder; planner and VLM refuse another encoder's tokens.
        model_id: Name of the checkpoint; ends in ``-untrained`` for weights made from a seed.
        ahead: The query of the whole scene in words.
    """

    stamp: Stamp
    tokens: NDArray[np.float16]
    queries: NDArray[np.float16]
    objects: SceneObjects
    map: SceneMap
    aux: NDArray[np.float16]
    ego: EgoState
    k: Array
    t_base_camera: Array
    camera_stamps: NDArray[np.int64]
    t_anchor_camera_time: Array
    camera_valid: NDArray[np.bool_]
    novelty: float
    encoder_hash: str
    model_id: str
    ahead: SceneAhead = field(default_factory=nothing_ahead)
