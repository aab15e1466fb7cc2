"""From a frame and the ego's state to scene tokens, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vadv2_core.camera import CameraFrame, CameraRig
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import EdgeCaseFlag, Weather
from vadv2_core.tokens import SceneTokens, nothing_ahead
from vadv2_perception import PerceptionConfig, SceneEncoder
from vadv2_perception.answers import ahead_in_words
from vadv2_perception.checkpoints import load_encoder, save_encoder
from vadv2_perception.configuration import EncoderModelConfig
from vadv2_perception.model import SceneModel
from vadv2_perception.rig_arrays import motion_between

Frames = Callable[..., CameraFrame]
Egos = Callable[..., EgoState]
Rigs = Callable[..., CameraRig]


def _differs(a: SceneTokens, b: SceneTokens) -> float:
    return float(np.abs(a.tokens.astype(np.float32) - b.tokens.astype(np.float32)).max())


@pytest.fixture
def encoder(small_checkpoint: Path, torch_config: PerceptionConfig) -> SceneEncoder:
    return SceneEncoder(small_checkpoint, torch_config)


def test_what_comes_out(encoder: SceneEncoder, make_frame: Frames, make_ego: Egos) -> None:
    frame, ego = make_frame(), make_ego(steering=0.1)
    out = encoder.encode(frame, ego)
    assert out.stamp == frame.stamp
    assert out.ego is ego
    assert out.tokens.shape == (6, 4, 6, 32)
    assert out.tokens.dtype == out.queries.dtype == out.aux.dtype == np.float16
    assert out.queries.shape == (11, 32)
    assert len(out.objects.classes) == 6
    assert len(out.map.classes) == 4
    assert (np.diff(out.objects.confidence) <= 0).all()
    assert (out.objects.classes > 0).all()
    assert out.encoder_hash == encoder.encoder_hash
    assert len(out.encoder_hash) == 64
    assert out.model_id == "test-encoder-1"
    assert out.novelty == 0.0
    for value in (out.tokens, out.queries, out.aux, out.objects.boxes, out.map.points):
        assert np.isfinite(value.astype(np.float32)).all()
    assert out.ahead.weather.shape == (len(Weather),) and out.ahead.flags.shape == (len(EdgeCaseFlag),)
    assert out.ahead.weather.dtype == out.ahead.flags.dtype == np.float32
    assert out.ahead.weather.sum() == pytest.approx(1.0, abs=1e-6)
    camera = frame.rig.cameras[0].scaled(96, 64)
    np.testing.assert_allclose(out.k[0][:2, 2], (camera.k[:2, 2] + 0.5) / 16 - 0.5)


def test_the_scene_says_its_weather_and_its_flags() -> None:
    """One weather of many, but any number of flags; each probability at the index of its word."""
    weather, flags = np.zeros(len(Weather), np.float32), np.full(len(EdgeCaseFlag), -200.0, np.float32)
    weather[Weather.FOG] = np.log(5.0)
    flags[[EdgeCaseFlag.CUT_IN, EdgeCaseFlag.LOW_VISIBILITY, EdgeCaseFlag.CAMERA_FAULT]] = 200.0, np.log(3.0), 0.0
    signal, stop, lead = np.zeros(6, np.float32), np.zeros(2, np.float32), np.zeros(3, np.float32)
    said = ahead_in_words(
        {
            "scene_signal": signal,
            "scene_stop": stop,
            "scene_lead": lead,
            "scene_weather": weather,
            "scene_flags": flags,
        }
    )
    others = np.delete(said.weather, Weather.FOG)
    assert said.weather[Weather.FOG] == pytest.approx(0.5) and others == pytest.approx(np.full(len(Weather) - 1, 0.1))
    expected = np.zeros(len(EdgeCaseFlag))
    expected[[EdgeCaseFlag.CUT_IN, EdgeCaseFlag.LOW_VISIBILITY, EdgeCaseFlag.CAMERA_FAULT]] = 1.0, 0.75, 0.5
    assert said.flags == pytest.approx(expected) and said.flags.dtype == said.weather.dtype == np.float32
    nothing = nothing_ahead()
    assert nothing.weather.shape == said.weather.shape and nothing.flags.shape == said.flags.shape
    assert nothing.weather.argmax() == Weather.DAY and nothing.weather.sum() == 1.0 and not nothing.flags.any()


def test_the_same_frames_give_the_same_tokens(
    small_checkpoint: Path, torch_config: PerceptionConfig, make_frame: Frames, make_ego: Egos
) -> None:
    runs = []
    for _ in range(2):
        encoder = SceneEncoder(small_checkpoint, torch_config)
        runs.append([encoder.encode(make_frame(0.5 * i, seed=i), make_ego(0.5 * i)) for i in range(3)])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a.tokens, b.tokens)
        np.testing.assert_array_equal(a.queries, b.queries)


def test_the_past_matters_until_it_is_forgotten(encoder: SceneEncoder, make_frame: Frames, make_ego: Egos) -> None:
    alone = encoder.encode(make_frame(1.0, seed=1), make_ego(1.0))
    encoder.reset()
    encoder.encode(make_frame(0.5, seed=7), make_ego(0.5))
    after_another = encoder.encode(make_frame(1.0, seed=1), make_ego(1.0))
    assert _differs(alone, after_another) > 1e-2
    gap = encoder.encode(make_frame(5.0, seed=1), make_ego(5.0))
    assert _differs(alone, gap) < 1e-3
    back = encoder.encode(make_frame(1.0, seed=1), make_ego(1.0))
    assert _differs(alone, back) < 1e-3


def test_the_same_frame_twice_is_one_frame(encoder: SceneEncoder, make_frame: Frames, make_ego: Egos) -> None:
    encoder.encode(make_frame(0.5, seed=7), make_ego(0.5))
    first = encoder.encode(make_frame(1.0, seed=1), make_ego(1.0))
    again = encoder.encode(make_frame(1.0, seed=1), make_ego(1.0))
    assert _differs(first, again) == 0


def test_a_dark_camera_is_masked(encoder: SceneEncoder, make_frame: Frames, make_ego: Egos) -> None:
    out = encoder.encode(make_frame(valid=[True, True, False, True, True, True]), make_ego())
    assert out.camera_valid.tolist() == [True, True, False, True, True, True]
    assert not out.tokens[2].any()
    nothing = encoder.encode(make_frame(1.0, valid=False), make_ego(1.0))
    assert not nothing.tokens.any()
    assert np.isfinite(nothing.queries.astype(np.float32)).all()


def test_another_rig_and_size(encoder: SceneEncoder, make_frame: Frames, make_ego: Egos, make_rig: Rigs) -> None:
    encoder.encode(make_frame(), make_ego())
    out = encoder.encode(make_frame(0.1, rig=make_rig(4, width=200, height=150, up=2.0)), make_ego(0.1))
    assert out.tokens.shape == (4, 4, 6, 32)
    assert out.t_base_camera[0, 2, 3] == 2.0


def test_a_camera_that_exposed_later_stands_further_ahead(
    encoder: SceneEncoder, make_frame: Frames, make_ego: Egos
) -> None:
    frame = make_frame()
    stamps = frame.stamps.copy()
    stamps[3] += 50_000_000
    out = encoder.encode(replace(frame, stamps=stamps), make_ego(speed=10.0))
    np.testing.assert_allclose(out.t_anchor_camera_time[3], [[1, 0, 0.5], [0, 1, 0], [0, 0, 1]], atol=1e-9)
    np.testing.assert_array_equal(out.t_anchor_camera_time[0], np.eye(3))


def test_motion_between_follows_a_circle() -> None:
    ego = EgoState(0, Pose2(0, 0, 0), (5.0, 0.0), (0.0, 0.0), 0.5)
    radius, turn = 10.0, 0.5 * 0.8
    moved = motion_between(ego, 0.8)
    np.testing.assert_allclose(
        [moved.x, moved.y, moved.yaw], [radius * np.sin(turn), radius * (1 - np.cos(turn)), turn]
    )


def test_queries_follow_their_words(
    small_checkpoint: Path, torch_config: PerceptionConfig, make_frame: Frames, make_ego: Egos
) -> None:
    every = SceneEncoder(small_checkpoint, torch_config).encode(make_frame(), make_ego())
    median = float(np.median(every.objects.confidence))
    some = SceneEncoder(small_checkpoint, replace(torch_config, confidence_threshold=median)).encode(
        make_frame(), make_ego()
    )
    assert 0 < len(some.objects.classes) < len(every.objects.classes)
    np.testing.assert_array_equal(some.objects.boxes, every.objects.boxes[: len(some.objects.classes)])
    np.testing.assert_array_equal(some.queries, every.queries)


def test_an_ego_state_that_is_not_finite_is_refused(encoder: SceneEncoder, make_frame: Frames, make_ego: Egos) -> None:
    with pytest.raises(InputError, match="ego state"):
        encoder.encode(make_frame(), make_ego(x=float("nan")))


def test_an_answer_that_is_not_finite_does_not_leave(
    small_checkpoint: Path, torch_config: PerceptionConfig, tmp_path: Path, make_frame: Frames, make_ego: Egos
) -> None:
    loaded = load_encoder(small_checkpoint)
    with torch.no_grad():
        loaded.model.queries.object_head[2].weight.fill_(6e4)
        loaded.model.queries.object_head[2].bias.fill_(3e38)
    save_encoder(tmp_path, loaded.model, "too-large-1")
    with pytest.raises(InputError, match="what the encoder says"):
        SceneEncoder(tmp_path, torch_config).encode(make_frame(), make_ego())


@pytest.mark.parametrize(
    "backend, precision, tolerance",
    [("onnxruntime", "float32", 5e-3), ("openvino", "float32", 5e-3), ("openvino", "bfloat16", 0.5)],
)
def test_backends_agree(
    small_checkpoint: Path,
    torch_config: PerceptionConfig,
    make_frame: Frames,
    make_ego: Egos,
    backend: str,
    precision: str,
    tolerance: float,
) -> None:
    one = SceneEncoder(small_checkpoint, torch_config)
    other = SceneEncoder(small_checkpoint, replace(torch_config, backend=backend, precision=precision))
    for i in range(3):  # With and without a past; one camera missing.
        frame, ego = make_frame(0.5 * i, seed=i, valid=np.arange(6) != 2 * i), make_ego(0.5 * i)
        a, b = one.encode(frame, ego), other.encode(frame, ego)
        assert _differs(a, b) < tolerance
        correlation = np.corrcoef(a.tokens.astype(np.float64).ravel(), b.tokens.astype(np.float64).ravel())[0, 1]
        assert correlation > 0.999
        np.testing.assert_allclose(np.sort(a.objects.confidence), np.sort(b.objects.confidence), atol=0.1 * tolerance)
        np.testing.assert_allclose(a.ahead.weather, b.ahead.weather, atol=0.1 * tolerance)
        np.testing.assert_allclose(a.ahead.flags, b.ahead.flags, atol=0.1 * tolerance)
        assert a.encoder_hash == b.encoder_hash


@pytest.mark.parametrize("backend, precision", [("onnxruntime", "bfloat16"), ("torch", "int8")])
def test_a_precision_a_backend_has_not_is_refused(
    small_checkpoint: Path, torch_config: PerceptionConfig, backend: str, precision: str
) -> None:
    encoder = SceneEncoder(small_checkpoint, replace(torch_config, backend=backend, precision=precision))
    with pytest.raises(InputError, match=precision):
        encoder.prepare()


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_a_network_without_history_remembers_nothing(
    small_config: EncoderModelConfig,
    torch_config: PerceptionConfig,
    tmp_path: Path,
    make_frame: Frames,
    make_ego: Egos,
    backend: str,
) -> None:
    torch.manual_seed(0)
    save_encoder(tmp_path, SceneModel(replace(small_config, history_ages=())), "no-history-1")
    encoder = SceneEncoder(tmp_path, replace(torch_config, backend=backend))
    alone = encoder.encode(make_frame(1.0, seed=1), make_ego(1.0))
    encoder.reset()
    encoder.encode(make_frame(0.5, seed=2), make_ego(0.5))
    assert _differs(encoder.encode(make_frame(1.0, seed=1), make_ego(1.0)), alone) == 0


def test_tiny_without_a_checkpoint(tmp_path: Path, make_frame: Frames, make_ego: Egos) -> None:
    config = PerceptionConfig(backend="openvino", cache_directory=str(tmp_path))
    encoder = SceneEncoder(None, config)
    assert encoder.model_id.endswith("-untrained")
    out = encoder.encode(make_frame(), make_ego())
    arrays = [
        getattr(out, name)
        for name in ("tokens", "queries", "aux", "k", "t_base_camera", "camera_stamps", "t_anchor_camera_time")
    ]
    arrays += [getattr(part, name) for part in (out.objects, out.map) for name in part.__slots__]
    assert sum(a.nbytes for a in arrays) <= 400_000
    assert out.tokens.shape == (6, 14, 30, 64)
    assert out.queries.shape == (49, 128)
    assert SceneEncoder(None, config).encoder_hash == encoder.encoder_hash
    assert SceneEncoder(None, replace(config, seed=1)).encoder_hash != encoder.encoder_hash
