"""What the scene queries say, from the network's numbers to `SceneObjects`, `SceneMap` and `SceneAhead`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.taxonomy import SignalState
from vadv2_core.tokens import SceneAhead, SceneMap, SceneObjects

Floats = NDArray[np.float32]


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True), dtype=np.float32)


def sigmoid(logits: Floats) -> Floats:
    """Elementwise; never overflows."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float32)


def objects_in_words(answers: Mapping[str, NDArray[Any]]) -> tuple[SceneObjects, NDArray[np.int64]]:
    """Every object query's answer, most confident first, and the order (n,) that sorts the queries so.

    Args:
        answers: `QueryAnswers` of one frame, by name, without the batch axis.
    """
    probability = softmax(answers["object_class"])
    confidence = 1.0 - probability[:, 0]
    order = np.argsort(-confidence, kind="stable")
    heading = answers["object_heading"]
    intention = softmax(answers["object_intention"])
    boxes = np.concatenate(
        [
            answers["object_centre"],
            np.arctan2(heading[:, 1:], heading[:, :1]),
            np.exp(answers["object_size"].clip(-3.0, 4.0)),
        ],
        axis=-1,
    )
    objects = SceneObjects(
        classes=(probability[:, 1:].argmax(-1) + 1).astype(np.int32)[order],
        confidence=confidence.astype(np.float32)[order],
        boxes=boxes.astype(np.float32)[order],
        velocities=answers["object_velocity"].astype(np.float32)[order],
        intentions=intention.argmax(-1).astype(np.int32)[order],
        intention_confidence=intention.max(-1)[order],
    )
    return objects, order


def map_in_words(answers: Mapping[str, NDArray[Any]]) -> tuple[SceneMap, NDArray[np.int64]]:
    """Every map query's answer, most confident first, and the order (m,) that sorts the queries so."""
    probability = softmax(answers["map_class"])
    confidence = 1.0 - probability[:, -1]
    order = np.argsort(-confidence, kind="stable")
    signal = softmax(answers["map_signal"])
    states = np.where(signal.max(-1) > 0.5, signal.argmax(-1), int(SignalState.UNKNOWN))
    elements = SceneMap(
        classes=probability[:, :-1].argmax(-1).astype(np.int32)[order],
        confidence=confidence.astype(np.float32)[order],
        points=answers["map_points"].astype(np.float32)[order],
        signal_states=states.astype(np.int32)[order],
        signal_confidence=signal.max(-1)[order],
        relevant=sigmoid(answers["map_relevance"])[order],
    )
    return elements, order


def ahead_in_words(answers: Mapping[str, NDArray[Any]]) -> SceneAhead:
    """What the query of the whole scene says of the way ahead, the weather and the edge cases.

    Distances are not negative but for a line just passed.

    Args:
        answers: `QueryAnswers` of one frame, by name, without the batch axis.
    """
    stop, lead = answers["scene_stop"], answers["scene_lead"]
    return SceneAhead(
        signal=softmax(answers["scene_signal"]),
        stop_confidence=float(sigmoid(stop[0])),
        stop_distance=10.0 * float(stop[1]),
        lead_confidence=float(sigmoid(lead[0])),
        lead_gap=max(10.0 * float(lead[1]), 0.0),
        lead_speed=10.0 * float(lead[2]),
        weather=softmax(answers["scene_weather"]),
        # More than one may hold at once, or none: each is a question of its own.
        flags=sigmoid(answers["scene_flags"]),
    )
