"""Clip folders: generated, recorded, and broken ones."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from vadv2_bringup.clip import CLIP_NAME, read_clip, read_image
from vadv2_bringup.synthetic_clip import SyntheticDrive, surround_rig, write_synthetic_clip
from vadv2_core.camera import SURROUND_CAMERAS
from vadv2_core.errors import InputError
from vadv2_core.stamps import seconds_between

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "six_camera_clips"
recorded = pytest.mark.skipif(not SHARED.is_dir(), reason="no recorded clips in ../shared/data")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips") / "clip"
    write_synthetic_clip(folder, frames=4, width=160, height=96)
    return folder


@pytest.fixture
def copy(clip_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clip_folder, tmp_path / "copy"))


def edit(folder: Path, change: object) -> None:
    path = folder / CLIP_NAME
    values = json.loads(path.read_text())
    change(values)  # type: ignore[operator]
    path.write_text(json.dumps(values))


def test_generated_clip_is_the_same_for_the_same_seed_and_reads_back(clip_folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_synthetic_clip(again, frames=4, width=160, height=96)
    other = tmp_path / "other"
    write_synthetic_clip(other, frames=1, width=160, height=96, seed=8)
    assert (again / "front_003.jpg").read_bytes() == (clip_folder / "front_003.jpg").read_bytes()
    assert (other / "front_left_000.jpg").read_bytes() != (clip_folder / "front_left_000.jpg").read_bytes()
    clip = read_clip(clip_folder)
    assert clip.rig.names == SURROUND_CAMERAS and len(clip.frames) == 4
    assert [seconds_between(a.stamp, b.stamp) for a, b in zip(clip.frames, clip.frames[1:], strict=False)] == [0.1] * 3
    assert clip.frames[0].ego.speed == pytest.approx(9.0)
    assert clip.frames[0].future.shape == (16, 4)


def test_generated_pictures_agree_with_the_projection() -> None:
    """The lead car's red rear is where the camera model says it is."""
    rig = surround_rig(640, 360)
    drive = SyntheticDrive(7, rig)
    t = 2.0
    image = drive.images(t)[0].astype(int)
    red = (image[..., 0] > 110) & (image[..., 0] > 2 * image[..., 1])
    rows, columns = np.nonzero(red)
    ego, *_ = drive.ego_at(t)
    lead = float(np.interp(t, drive._times, drive._lead[:, 0])) + 3.1 - 2.2
    x, y, _ = drive.road.at(lead, -1.75)
    place = ego.inverse_transform((float(x), float(y)))
    (u, v), depth = rig["front"].project(np.array([*place, 0.6]))
    assert depth > 5
    assert abs(np.median(columns) - u) < 4 and abs(np.median(rows) - v) < 6


def test_generated_speed_and_yaw_rate_are_the_poses_own() -> None:
    drive = SyntheticDrive(7, surround_rig(64, 36))
    for t in (0.5, 3.0, 6.0):
        (a, *_), (pose, speed, _, rate), (b, *_) = (drive.ego_at(s) for s in (t - 0.05, t, t + 0.05))
        assert np.hypot(b.x - a.x, b.y - a.y) / 0.1 == pytest.approx(speed, rel=0.02)
        assert (b.yaw - a.yaw) / 0.1 == pytest.approx(rate, abs=0.01)
        assert pose.x > a.x


def test_odometry_passes_through_every_frame_and_goes_on_along_the_future(clip_folder: Path) -> None:
    clip = read_clip(clip_folder)
    states = {s.stamp: s for s in clip.odometry()}
    for frame in clip.frames:
        assert states[frame.stamp] == frame.ego
    stamps = sorted(states)
    assert max(b - a for a, b in itertools.pairwise(stamps)) <= 50_000_000
    last = states[stamps[-1]]
    assert seconds_between(clip.frames[-1].stamp, last.stamp) > 7.5
    assert last.speed == pytest.approx(drive_speed(clip.frames[-1].future), abs=0.2)


def drive_speed(future: np.ndarray) -> float:
    return float(np.hypot(*(future[-1, 1:3] - future[-2, 1:3])) / 0.5)


def test_speed_comes_from_the_poses_where_there_is_no_ego_block(copy: Path) -> None:
    truth = [f.ego for f in read_clip(copy).frames]

    def only_poses(values: dict) -> None:
        for entry in values["frames"]:
            x, y, yaw = entry.pop("ego")["pose_xy_yaw"]
            c, s = np.cos(yaw), np.sin(yaw)
            entry["T_first_base"] = [[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, 0], [0, 0, 0, 1]]

    edit(copy, only_poses)
    for found, true in zip(read_clip(copy).frames, truth, strict=True):
        assert found.ego.speed == pytest.approx(true.speed, abs=0.15)
        assert found.ego.pose.x == pytest.approx(true.pose.x, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda v: v["cameras"]["front"].update(K=[[0, 0, 0]] * 3), "camera 'front': K is singular"),
        (lambda v: v["cameras"]["back"].pop("T_base_camera"), "camera 'back' has no T_base_camera"),
        (lambda v: v["frames"][1]["images"].pop("front"), "frame 1: no image of camera 'front'"),
        (lambda v: v["frames"][2]["images"].update(back="nowhere.jpg"), "nowhere.jpg: is missing"),
        (lambda v: v.update(frames=[]), "no frames"),
        (lambda v: v["frames"].reverse(), "stamps do not increase"),
        (lambda v: v["frames"][0]["ego"].update(speed_m_s=None), "speed_m_s is None"),
    ],
)
def test_broken_clips_say_what_and_where(copy: Path, change: object, line: str) -> None:
    edit(copy, change)
    with pytest.raises(InputError, match=line) as caught:
        read_clip(copy)
    assert "\n" not in str(caught.value) and str(copy) in str(caught.value)


def test_images_of_another_size_or_none_at_all_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.zeros((10, 20, 3), np.uint8))
    assert read_image(path, (20, 10)).shape == (10, 20, 3)
    with pytest.raises(InputError, match="is 20x10"):
        read_image(path, (10, 20))
    path.write_bytes(b"not a picture")
    with pytest.raises(InputError, match="is no image"):
        read_image(path, (20, 10))


@recorded
@pytest.mark.parametrize(("name", "frames", "speed"), [("nuscenes_scene0368", 5, 5.564), ("dgp_scene02", 3, 12.6)])
def test_recorded_clips_read(name: str, frames: int, speed: float) -> None:
    clip = read_clip(SHARED / name)
    assert set(clip.rig.names) == set(SURROUND_CAMERAS) and len(clip.frames) == frames
    assert clip.frames[0].ego.speed == pytest.approx(speed, rel=0.02)
