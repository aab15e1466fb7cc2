"""Clips to bags and back, bags of others, and broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.bag_topics import find_topics, parse_map
from vadv2_bringup.bag_writer import BagWriter
from vadv2_bringup.clip import Clip, read_clip, read_image
from vadv2_bringup.clip_to_bag import write_clip_as_bag
from vadv2_bringup.synthetic_clip import write_synthetic_clip
from vadv2_core.errors import InputError
from vadv2_core.taxonomy import DrivingAction
from vadv2_perception.frame_assembler import FrameAssemblerConfig
from vadv2_ros.bag_types import bag_typestore


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clips") / "clip"
    write_synthetic_clip(folder, frames=4, width=160, height=96)
    return read_clip(folder)


@pytest.fixture(scope="module")
def bag(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "clip.bag"
    write_clip_as_bag(clip, path)
    return path


def copied(
    bag: Path, to: Path, *, without: str = "", rename: dict[str, str] | None = None, sqlite: bool = False
) -> Path:
    """The same messages in another bag, some topics left out or renamed."""
    store = bag_typestore()
    plugin = StoragePlugin.SQLITE3 if sqlite else StoragePlugin.MCAP
    with BagReader(bag, without_cameras=True) as reader, Writer(to, version=9, storage_plugin=plugin) as writer:
        connections = {}
        for topic, kind, stamp, data in reader.serialized():
            if without and without in topic:
                continue
            name = (rename or {}).get(topic, topic)
            if name not in connections:
                connections[name] = writer.add_connection(name, kind, typestore=store)
            writer.write(connections[name], stamp, data)
    return to


def test_a_clip_comes_back_from_its_bag(clip: Clip, bag: Path) -> None:
    with BagReader(bag) as reader:
        frames = list(reader.frames())
        assert [f.frame.stamp for f in frames] == [f.stamp for f in clip.frames]
        for camera, true in zip(reader.rig.cameras, clip.rig.cameras, strict=True):
            np.testing.assert_array_equal(camera.k, true.k)
            np.testing.assert_allclose(camera.t_base_camera, true.t_base_camera, atol=1e-12)
    for found, true in zip(frames, clip.frames, strict=True):
        assert found.frame.valid.all()
        np.testing.assert_array_equal(found.frame.images[0], read_image(true.images["front"], (160, 96)))
        assert found.ego.pose.x == pytest.approx(true.ego.pose.x, abs=1e-9)
        assert found.ego.velocity == true.ego.velocity
        assert found.command.action is DrivingAction.LANE_FOLLOW and found.route is None
        assert found.odometry[-1].stamp == found.frame.stamp
        assert [camera for camera, _, _ in found.images] == list(reader.rig.names)


def test_a_bags_files_are_named_after_it(bag: Path) -> None:
    assert sorted(path.name for path in bag.iterdir()) == [f"{bag.name}.mcap", "metadata.yaml"]


def test_raw_images_are_the_same_pixels(clip: Clip, bag: Path, tmp_path: Path) -> None:
    write_clip_as_bag(clip, tmp_path / "raw", compressed=False)
    with BagReader(bag) as compressed, BagReader(tmp_path / "raw") as raw:
        for a, b in zip(compressed.frames(), raw.frames(), strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(a.frame.images, b.frame.images, strict=True))


@pytest.mark.parametrize("single_file", [False, True])
@pytest.mark.parametrize("sqlite", [False, True])
def test_mcap_and_sqlite_folders_and_files(bag: Path, tmp_path: Path, sqlite: bool, single_file: bool) -> None:
    path = copied(bag, tmp_path / "copy", sqlite=sqlite)
    if single_file:
        path = next(p for p in path.iterdir() if p.suffix in (".mcap", ".db3"))
    with BagReader(path) as reader:
        assert len(list(reader.frames())) == 4
        assert {t.role for t in reader.info()} >= {"odometry", "command", "image of front", "camera info of back"}


def test_other_topic_names_tell_themselves_or_are_mapped(bag: Path, tmp_path: Path) -> None:
    names = {
        "/camera/front/image/compressed": "/CAM_FRONT/image_rect_compressed/compressed",
        "/camera/back/image/compressed": "/rear_view",
        "/odometry": "/ekf/odom",
    }
    path = copied(bag, tmp_path / "other", rename=names)
    with BagReader(path) as reader:
        assert reader.topics.images["front"] == "/CAM_FRONT/image_rect_compressed/compressed"
        assert reader.topics.odometry == "/ekf/odom" and "back" not in reader.topics.images
    with BagReader(path, parse_map(["back=/rear_view"])) as reader:
        assert next(iter(reader.frames())).frame.valid.all()
    with pytest.raises(InputError, match="no topic /nowhere"):
        BagReader(path, parse_map(["back=/nowhere"]))
    with pytest.raises(InputError, match="NAME=/topic"):
        parse_map(["sideways=/x"])


def test_front_left_is_not_taken_for_front() -> None:
    types = {"/cam/front_left/image_raw": "sensor_msgs/msg/Image", "/cam/front/image_raw": "sensor_msgs/msg/Image"}
    assert find_topics(types, {}, "bag").images == {
        "front": "/cam/front/image_raw",
        "front_left": "/cam/front_left/image_raw",
    }


def test_a_dead_camera_is_masked_or_its_frames_skipped(bag: Path, clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "dead"
    with BagReader(bag) as reader, BagWriter(path) as writer:
        for topic, kind, stamp, data in reader.serialized():
            if "/back/image" not in topic or stamp < clip.frames[2].stamp:
                writer.write_serialized(topic, kind, data, stamp)
    with BagReader(path) as reader:
        back = reader.rig.names.index("back")
        assert [bool(f.frame.valid[back]) for f in reader.frames()] == [True, True, False, False]
        whole = FrameAssemblerConfig(missing_camera_policy="skip", max_wait=0.2)
        assert len(list(reader.frames(whole))) == 2


def test_an_interrupt_after_the_end_leaves_the_bag(bag: Path, tmp_path: Path) -> None:
    path = tmp_path / "ended"
    with pytest.raises(KeyboardInterrupt), BagReader(bag) as reader, BagWriter(path) as writer:
        for topic, kind, stamp, data in reader.serialized():
            writer.write_serialized(topic, kind, data, stamp)
        writer.__exit__(None, None, None)
        raise KeyboardInterrupt
    with BagReader(path) as reader:
        assert len(list(reader.frames())) == 4


@pytest.mark.parametrize(
    ("without", "line"),
    [
        ("/image", "no camera"),
        ("/camera_info", "has no CameraInfo"),
        ("/tf_static", "no /tf_static from base_link"),
        ("/odometry", "no odometry"),
    ],
)
def test_bags_that_lack_something_say_what(bag: Path, tmp_path: Path, without: str, line: str) -> None:
    path = copied(bag, tmp_path / "copy", without=without)
    with pytest.raises(InputError, match=line) as caught, BagReader(path) as reader:
        list(reader.frames())
    assert "\n" not in str(caught.value)


def test_unreadable_bags_say_so(bag: Path, tmp_path: Path) -> None:
    for name, data in (("empty.mcap", b""), ("noise.mcap", bytes(range(256)) * 40), ("noise.db3", b"no database")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=rf"{name}: cannot be read"):
            BagReader(tmp_path / name)
    with pytest.raises(InputError, match="is not there"):
        BagReader(tmp_path / "nowhere")
    whole = next(bag.glob("*.mcap")).read_bytes()
    (tmp_path / "cut.mcap").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.mcap"), BagReader(tmp_path / "cut.mcap") as reader:
        list(reader.frames())


def test_nothing_is_left_of_a_bag_that_failed(clip: Clip, tmp_path: Path) -> None:
    missing = clip.frames[2].images["back"]
    data = missing.read_bytes()
    try:
        missing.write_bytes(b"no image")
        with pytest.raises(InputError, match="is no image"):
            write_clip_as_bag(clip, tmp_path / "bag")
    finally:
        missing.write_bytes(data)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "bag").mkdir()
    with pytest.raises(InputError, match="exists already"):
        write_clip_as_bag(clip, tmp_path / "bag")
