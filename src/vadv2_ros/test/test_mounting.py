"""A rig learned from CameraInfo and static transforms, in whatever order they come."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import vocabulary

from vadv2_core.camera import CameraRig
from vadv2_core.errors import InputError
from vadv2_ros.camera_messages import info_from_camera, optical_frame
from vadv2_ros.mounting import RigListener, to_base
from vadv2_ros.standard_messages import transform_from_matrix

RIG = vocabulary.rig(np.random.default_rng(11))
LIFT = np.eye(4)
LIFT[:3, 3] = 0.5, 0.0, 1.2


def messages() -> list[tuple[str, object]]:
    """CameraInfo of every camera, and transforms through a roof frame, as a vehicle with a sensor kit sends them."""
    infos = [(c.name, info_from_camera(c, 0)) for c in RIG.cameras]
    roof = transform_from_matrix(LIFT, 0, "base_link", "roof")
    cameras = [
        transform_from_matrix(np.linalg.inv(LIFT) @ c.t_base_camera, 0, "roof", optical_frame(c.name))
        for c in RIG.cameras
    ]
    return [
        *infos,
        ("/tf_static", SimpleNamespace(transforms=[roof])),
        ("/tf_static", SimpleNamespace(transforms=cameras)),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_the_rig_is_complete_once(seed: int) -> None:
    rigs: list[CameraRig] = []
    listener = RigListener(RIG.names, rigs.append)
    order = np.random.default_rng(seed).permutation(len(messages()))
    for name, message in itertools.chain((messages()[i] for i in order), messages()):
        if name == "/tf_static":
            listener.on_transforms(message)
        else:
            listener.on_info(name, message)
    (rig,) = rigs
    assert rig.names == RIG.names
    for found, wanted in zip(rig.cameras, RIG.cameras, strict=True):
        assert np.array_equal(found.k, wanted.k)
        assert np.allclose(found.t_base_camera, wanted.t_base_camera, atol=1e-9)


def test_an_incomplete_rig_waits() -> None:
    rigs: list[CameraRig] = []
    listener = RigListener(RIG.names, rigs.append)
    for name, message in messages()[:-1]:
        (listener.on_transforms(message) if name == "/tf_static" else listener.on_info(name, message))
    assert not rigs


def test_a_chain_that_leads_nowhere_or_round_is_none() -> None:
    edges = {"a": ("b", np.eye(4)), "b": ("a", np.eye(4)), "c": ("map", np.eye(4))}
    assert to_base("a", edges) is None and to_base("c", edges) is None
    assert np.array_equal(to_base("base_link", edges), np.eye(4))


def test_a_distorted_camera_is_refused_by_name() -> None:
    listener = RigListener(RIG.names[:1], lambda rig: None)
    name, info = messages()[0]
    info.d = [0.2] * 5
    listener.on_info(name, info)
    listener.on_transforms(messages()[-2][1])
    with pytest.raises(InputError, match=r"camera 'front'.*distortion"):
        listener.on_transforms(messages()[-1][1])
