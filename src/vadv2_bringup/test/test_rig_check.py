"""Wrong mountings are found and named; right ones are left alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vadv2_bringup.clip import CLIP_NAME
from vadv2_bringup.replay_over_topics import write_rig
from vadv2_bringup.rig_check import check_rig, in_words
from vadv2_bringup.rig_fit import epipolar_errors, fit_mountings
from vadv2_bringup.rig_matches import RayPairs, neighbours, overlap_columns
from vadv2_bringup.synthetic_clip import surround_rig, write_synthetic_clip
from vadv2_core.camera import CameraModel, CameraRig, load_rig
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "six_camera_clips"


def turned(rig: CameraRig, name: str, axis: str, degrees: float) -> CameraRig:
    """The rig with one camera's mounting turned about an axis of base_link."""
    turn = Rotation.from_euler("xyz"[["roll", "pitch", "yaw"].index(axis)], degrees, degrees=True).as_matrix()
    cameras = []
    for camera in rig.cameras:
        t = camera.t_base_camera.copy()
        if camera.name == name:
            t[:3, :3] = turn @ t[:3, :3]
        cameras.append(CameraModel(camera.name, camera.width, camera.height, camera.k, t))
    return CameraRig(tuple(cameras))


def seen_twice(true: CameraRig, assumed: CameraRig, moved: Pose2, false_share: float = 0.2) -> list[RayPairs]:
    """Rays of random points as the assumed rig has them, before and after a motion and between neighbours."""
    rng = np.random.default_rng(5)
    step = moved.to_matrix3()
    pairs = []
    for i, camera in enumerate(true.cameras):
        points = camera.t_base_camera[:3, 3] + rng.uniform(4, 50, (200, 1)) * camera.rays(
            rng.uniform([0, 0], [camera.width, camera.height], (200, 2))
        )
        later = (points - step[:3, 3]) @ step[:3, :3]
        sights = [(i, i, camera, points, later, step)]
        sights += [(i, j, true.cameras[j], points, points, np.eye(4)) for a, j in neighbours(true) if a == i]
        for a, b, other, first, second, motion in sights:
            pa, da = camera.project(first)
            pb, db = other.project(second)
            seen = (da > 0.5) & (db > 0.5) & (pb > 0).all(1) & (pb < [other.width, other.height]).all(1)
            pa, pb = (p[seen] + rng.normal(0, 0.3, p[seen].shape) for p in (pa, pb))
            wrong = rng.random(len(pb)) < false_share
            pb[wrong] += rng.normal(0, 25, (wrong.sum(), 2))
            centre = motion[:3, :3] @ assumed.cameras[b].t_base_camera[:3, 3] + motion[:3, 3]
            baseline = centre - assumed.cameras[a].t_base_camera[:3, 3]
            rays = assumed.cameras[a].rays(pa), assumed.cameras[b].rays(pb)
            pairs.append(RayPairs(a, b, *rays, motion[:3, :3], baseline))
    return [p for p in pairs if len(p.rays_a) >= 8]


def test_neighbours_are_those_that_share_a_view() -> None:
    rig = surround_rig()
    names = {frozenset((rig.names[i], rig.names[j])) for i, j in neighbours(rig)}
    assert frozenset(("front", "front_left")) in names and frozenset(("back", "back_right")) in names
    assert frozenset(("front", "back")) not in names and frozenset(("front_left", "front_right")) not in names
    shared = overlap_columns(rig["front"], rig["front_right"])
    assert shared is not None and shared[0] > 400, "the right of the front camera's picture"


def test_true_rays_lie_in_their_epipolar_planes() -> None:
    rig = surround_rig()
    for pairs in seen_twice(rig, rig, Pose2(1.0, 0.05, 0.03), false_share=0.0):
        off, impossible = epipolar_errors(pairs, np.zeros((6, 3)))
        assert np.degrees(np.median(np.abs(off))) < 0.08
        assert np.degrees(np.quantile(impossible, 0.9)) < 0.1


def test_right_rig_is_left_alone() -> None:
    rig = surround_rig()
    findings = fit_mountings(rig, seen_twice(rig, rig, Pose2(1.0, 0.05, 0.03)))
    assert not any(f.wrong for f in findings)
    assert max(f.angle for f in findings) < 0.3


@pytest.mark.parametrize(
    ("name", "axis", "degrees"),
    [
        ("front", "pitch", 2.0),
        ("front_left", "yaw", -2.0),
        pytest.param("back_right", "roll", 2.5, marks=pytest.mark.long),
        pytest.param("back", "yaw", 2.0, marks=pytest.mark.long),
    ],
)
def test_the_turned_camera_is_named_with_its_axis(name: str, axis: str, degrees: float) -> None:
    true = surround_rig()
    assumed = turned(true, name, axis, degrees)
    findings = {f.name: f for f in fit_mountings(assumed, seen_twice(true, assumed, Pose2(1.0, 0.05, 0.03)))}
    assert [n for n, f in findings.items() if f.wrong] == [name]
    assert getattr(findings[name], axis) == pytest.approx(-degrees, abs=0.9)
    assert f"LOOKS WRONG, mostly {axis}" in in_words(findings[name])


def test_without_motion_what_cannot_be_told_is_said() -> None:
    rig = surround_rig()
    pairs = seen_twice(rig, rig, Pose2(1.0, 0.0, 0.0))
    findings = {f.name: f for f in fit_mountings(rig, [p for p in pairs if (p.first, p.second) == (0, 1)])}
    assert not any(f.wrong for f in findings.values())
    assert "pitch" not in findings["front_left"].untold, "two cameras against each other tell that"
    assert findings["back"].untold == ("roll", "pitch", "yaw")
    nothing = fit_mountings(rig, [])
    assert all(f.untold == ("roll", "pitch", "yaw") and f.matches == 0 for f in nothing)
    assert "nothing to compare" in in_words(nothing[0])


def test_pictures_from_file_are_checked_and_drawn(tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    write_synthetic_clip(clip, frames=2, width=480, height=270)
    out = tmp_path / "rig.png"
    assert not any(f.wrong for f in check_rig(clip, None, out))
    assert out.read_bytes().startswith(b"\x89PNG") and out.stat().st_size > 50_000
    wrong = tmp_path / "rig.yaml"
    write_rig(turned(surround_rig(480, 270), "front", "pitch", 2.5), wrong)
    assert load_rig(wrong).names[0] == "front"
    assert [f.name for f in check_rig(clip, wrong, out) if f.wrong] == ["front"]


def test_bad_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        check_rig(tmp_path / "nowhere", None, tmp_path / "a.png")
    with pytest.raises(InputError, match=r"no clip\.json and no --rig"):
        check_rig(tmp_path, None, tmp_path / "a.png")
    rig = tmp_path / "rig.yaml"
    write_rig(surround_rig(64, 36), rig)
    with pytest.raises(InputError, match="no image of camera 'front'"):
        check_rig(tmp_path, rig, tmp_path / "a.png")
    (tmp_path / CLIP_NAME).write_text(json.dumps({"frames": []}))
    with pytest.raises(InputError, match="no frames"):
        check_rig(tmp_path, None, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.long
@pytest.mark.skipif(not SHARED.is_dir(), reason="no recorded clips in ../shared/data")
@pytest.mark.parametrize("name", ["nuscenes_scene0368", "dgp_scene02"])
def test_recorded_rigs_look_right(name: str, tmp_path: Path) -> None:
    assert not any(f.wrong for f in check_rig(SHARED / name, None, tmp_path / "rig.png"))
