"""Past frames are read where an object would have come from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from vadv2_core.camera import CameraRig
from vadv2_perception.configuration import EncoderModelConfig
from vadv2_perception.model import SceneModel
from vadv2_perception.past_reading import SPEEDS, PastFrames, PastReading
from vadv2_perception.rays import inverse_rigid, token_intrinsics

Rigs = Callable[..., CameraRig]
AGES = (0.5, 1.0)
STRIDE = 16


def cameras_of(rig: CameraRig) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:
    k = torch.tensor(np.stack([c.k for c in rig.cameras]), dtype=torch.float32)
    t = torch.tensor(np.stack([c.t_base_camera for c in rig.cameras]), dtype=torch.float32)
    size = rig.cameras[0]
    return token_intrinsics(k, STRIDE)[None], t[None], (size.height // STRIDE, size.width // STRIDE)


def marked(place: tuple[float, float], frame: int, rig: CameraRig, ego_forward: float) -> PastFrames:
    """A past whose ego was ``ego_forward`` m behind, empty but for a mark at a place of base_link now, one frame."""
    k, t, (h, w) = cameras_of(rig)
    count = k.shape[1]
    tokens = torch.zeros(1, len(AGES), count, 8, h, w)
    motion = torch.eye(4).repeat(1, len(AGES), 1, 1)
    motion[..., 0, 3] = ego_forward
    point = torch.tensor([place[0] + ego_forward, place[1], 0.8, 1.0])
    for camera in range(count):
        u, v, depth = (k[0, camera] @ (inverse_rigid(t[0, camera]) @ point)[:3]).tolist()
        if depth > 0.1 and 0 <= u / depth <= w - 1 and 0 <= v / depth <= h - 1:
            tokens[0, frame, camera, :, round(v / depth), round(u / depth)] = 1.0
    assert tokens.any(), "the mark must be in some camera's picture"
    return PastFrames(tokens, motion, torch.tensor([AGES]), torch.ones(1, len(AGES), count))


def found_at(past: PastFrames, rig: CameraRig, centre: tuple[float, float], heading: float) -> np.ndarray:
    """(frames, speeds) how much of the mark one query finds."""
    k, t, grid = cameras_of(rig)
    reading = PastReading(8, 16, len(AGES), grid)
    kept: list[torch.Tensor] = []
    reading.found.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    headings = torch.tensor([[[np.cos(heading), np.sin(heading)]]], dtype=torch.float32)
    with torch.no_grad():
        reading(torch.zeros(1, 1, 16), torch.tensor([[centre]]), headings, past, k, t)
    return kept[0].reshape(len(AGES), len(SPEEDS), 9)[..., :8].sum(-1).numpy()


@pytest.mark.parametrize(("frame", "speed"), [(0, 4), (0, 5), (1, 2), (1, 3)])
def test_what_moved_is_found_at_its_own_speed(make_rig: Rigs, frame: int, speed: int) -> None:
    rig, centre = make_rig(), (9.0, 0.0)
    came_from = (centre[0], centre[1] + SPEEDS[speed] * AGES[frame])
    past = marked(came_from, frame, rig, ego_forward=1.5)
    found = found_at(past, rig, centre, heading=-0.5 * np.pi)
    assert np.unravel_index(found.argmax(), found.shape) == (frame, speed)
    assert found[1 - frame].max() == 0.0, "the other frame holds nothing"


def test_what_stood_is_found_where_it_is(make_rig: Rigs) -> None:
    rig = make_rig()
    found = found_at(marked((9.0, 1.0), 0, rig, ego_forward=2.0), rig, (9.0, 1.0), heading=0.3)
    assert found[0].argmax() == 0


def test_new_parts_change_nothing_until_they_learn(small_config: EncoderModelConfig) -> None:
    torch.manual_seed(0)
    readings = [layer.past for layer in SceneModel(small_config).queries.layers]
    assert readings[0] is None and all(isinstance(r, PastReading) for r in readings[1:])
    for reading in readings[1:]:
        assert not reading.out.weight.any() and not reading.out.bias.any()


def test_a_network_without_history_has_no_such_part(small_config: EncoderModelConfig) -> None:
    from dataclasses import replace

    model = SceneModel(replace(small_config, history_ages=()))
    assert all(layer.past is None for layer in model.queries.layers)
