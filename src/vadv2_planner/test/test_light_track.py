"""The next light, followed from frame to frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import SignalState
from vadv2_core.tokens import SceneAhead, SceneTokens
from vadv2_planner.light_track import followed_light

Frame = Callable[..., SceneTokens]
STAMP = 1_700_000_000_000_000_000


@pytest.fixture
def sees(frame: Frame) -> Callable[..., SceneTokens]:
    """Tokens of a frame ``seconds`` later, ``x`` m on, that reads a light so."""

    def at(seconds: float, x: float, state: SignalState, distance: float, line: float = 0.95) -> SceneTokens:
        tokens = frame(speed=8.0)
        signal = np.full(6, 0.02, dtype=np.float32)
        signal[int(state)] = 0.9
        stamp = STAMP + round(seconds * 1e9)
        ego = replace(tokens.ego, pose=Pose2(x, 0.0, 0.0), stamp=stamp)
        return replace(tokens, ego=ego, stamp=stamp, ahead=SceneAhead(signal, line, distance, 0.0, 0.0, 0.0))

    return at


def test_the_first_frame_is_taken_as_it_is(sees) -> None:
    track = followed_light(None, sees(0.0, 0.0, SignalState.RED, 20.0))
    assert track.distance == 20.0 and track.held == pytest.approx(0.94, abs=0.01)


def test_a_line_comes_nearer_as_the_ego_goes_and_a_leap_counts_little(sees) -> None:
    track = followed_light(None, sees(0.0, 0.0, SignalState.RED, 25.0))
    track = followed_light(track, sees(0.2, 2.0, SignalState.RED, 15.0))
    assert track.distance == pytest.approx(23.0 - 0.3 * 8.0)
    track = followed_light(track, sees(0.4, 4.0, SignalState.RED, 3.0, line=0.2))
    assert track.distance == pytest.approx(20.6 - 2.0)


def test_one_frame_does_not_turn_a_light_green_but_two_do(sees) -> None:
    track = followed_light(None, sees(0.0, 0.0, SignalState.RED, 5.0))
    track = followed_light(track, sees(0.2, 0.0, SignalState.GREEN, 5.0))
    assert track.held > 0.45
    track = followed_light(track, sees(0.4, 0.0, SignalState.GREEN, 5.0))
    assert track.held < 0.3


def test_what_did_not_hold_is_no_line_to_be_filtered_with(sees) -> None:
    track = followed_light(None, sees(0.0, 0.0, SignalState.GREEN, 60.0))
    track = followed_light(track, sees(0.2, 2.0, SignalState.RED, 30.0))
    assert track.distance == 30.0


def test_a_line_that_was_reached_is_followed_by_the_next(sees) -> None:
    track = followed_light(None, sees(0.0, 0.0, SignalState.RED, 3.0))
    assert followed_light(track, sees(0.2, 2.0, SignalState.RED, 60.0)).distance == 60.0
    # While it is still ahead it stays where it was, whatever one frame says.
    far = followed_light(None, sees(0.0, 0.0, SignalState.RED, 15.0))
    assert followed_light(far, sees(0.2, 2.0, SignalState.RED, 60.0)).distance == pytest.approx(13.0 + 0.3 * 47.0)


@pytest.mark.parametrize("seconds", [0.7, -0.1, 0.0])
def test_an_old_track_is_none(sees, seconds: float) -> None:
    track = followed_light(None, sees(0.0, 0.0, SignalState.RED, 25.0))
    assert followed_light(track, sees(seconds, 2.0, SignalState.GREEN, 15.0)).distance == 15.0
