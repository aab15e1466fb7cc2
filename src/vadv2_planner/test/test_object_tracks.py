"""How fast others go, by where they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import AgentClass
from vadv2_core.tokens import SceneObjects, SceneTokens
from vadv2_planner.object_tracks import ObjectTracks

Frame = Callable[..., SceneTokens]
STAMP = 1_700_000_000_000_000_000


@pytest.fixture
def sees(frame: Frame) -> Callable[..., SceneTokens]:
    """Tokens ``seconds`` later of an ego at ``pose`` that sees things at places in odom and says so of their motion."""

    def at(seconds: float, pose: Pose2, *places: tuple[float, float], said: tuple[float, float]) -> SceneTokens:
        tokens = frame(speed=8.0)
        n, stamp = len(places), STAMP + round(seconds * 1e9)
        xy = pose.inverse_transform(np.array(places, dtype=np.float64).reshape(-1, 2))
        boxes = np.concatenate([xy, np.tile([0.0, 4.5, 1.8], (n, 1))], axis=1).astype(np.float32)
        objects = SceneObjects(
            np.full(n, int(AgentClass.BUS), np.int32), np.full(n, 0.9, np.float32), boxes,
            np.tile(np.array(said, np.float32), (n, 1)), np.zeros(n, np.int32), np.zeros(n, np.float32),
        )  # fmt: skip
        return replace(tokens, stamp=stamp, ego=replace(tokens.ego, pose=pose, stamp=stamp), objects=objects)

    return at


def followed(tracks: ObjectTracks, tokens: SceneTokens) -> np.ndarray:
    return tracks.velocities(tokens, np.ones(len(tokens.objects.classes), dtype=bool))


def test_of_who_was_just_met_it_is_what_perception_says(sees) -> None:
    tracks = ObjectTracks()
    np.testing.assert_allclose(followed(tracks, sees(0.0, Pose2(0, 0, 0), (20.0, 0.0), said=(5.0, 1.0))), [[5.0, 1.0]])
    np.testing.assert_allclose(followed(tracks, sees(0.2, Pose2(1, 0, 0), (20.0, 0.0), said=(4.0, 0.0))), [[4.0, 0.0]])


@pytest.mark.parametrize("speed", [0.0, 4.0])
def test_after_a_second_it_is_where_he_has_been_whatever_is_said(sees, speed: float) -> None:
    tracks = ObjectTracks()
    for k in range(7):
        t = 0.2 * k
        found = followed(tracks, sees(t, Pose2(7.0 * t, 0, 0), (20.0 + speed * t, -3.0), said=(5.0, 0.0)))
    np.testing.assert_allclose(found, [[speed, 0.0]], atol=1e-3)


def test_it_is_told_in_the_egos_axes(sees) -> None:
    tracks = ObjectTracks()
    for k in range(7):
        t = 0.2 * k
        found = followed(tracks, sees(t, Pose2(0, 0, 0.5 * np.pi), (0.0 + 3.0 * t, 20.0), said=(0.0, 0.0)))
    # The ego looks along +y; who drives along +x crosses from left to right.
    np.testing.assert_allclose(found, [[0.0, -3.0]], atol=1e-3)


def test_noise_of_half_a_metre_leaves_a_metre_a_second(sees) -> None:
    draw, errors = np.random.default_rng(0), []
    for _ in range(40):
        tracks = ObjectTracks()
        for k in range(11):
            place = np.array([25.0, 1.0]) + draw.normal(0.0, 0.4, 2)
            found = followed(tracks, sees(0.2 * k, Pose2(1.0 * k, 0, 0), tuple(place), said=(0.0, 0.0)))
        errors.append(float(np.hypot(*found[0])))
    assert np.median(errors) < 1.0


def test_two_are_not_mixed_up_and_a_gap_begins_anew(sees) -> None:
    tracks = ObjectTracks()
    for k in range(7):
        t = 0.2 * k
        found = followed(tracks, sees(t, Pose2(0, 0, 0), (20.0 + 6.0 * t, 0.0), (20.0, 4.0), said=(3.0, 0.0)))
    np.testing.assert_allclose(found, [[6.0, 0.0], [0.0, 0.0]], atol=1e-3)
    later = followed(tracks, sees(2.4, Pose2(0, 0, 0), (20.0, 4.0), said=(3.0, 0.0)))
    np.testing.assert_allclose(later, [[3.0, 0.0]])
    tracks.reset()
    np.testing.assert_allclose(followed(tracks, sees(2.6, Pose2(0, 0, 0), (20.0, 4.0), said=(3.0, 0.0))), [[3.0, 0.0]])
