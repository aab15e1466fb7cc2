"""The command line on input it cannot use: one line, exit status 2, nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vadv2_bringup.cli import main
from vadv2_bringup.clip import CLIP_NAME, read_clip
from vadv2_bringup.clip_to_bag import write_clip_as_bag
from vadv2_bringup.synthetic_clip import write_synthetic_clip
from vadv2_core.errors import EXIT_BAD_INPUT


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("input") / "clip"
    write_synthetic_clip(folder, frames=2, width=160, height=96)
    return folder


@pytest.fixture(scope="module")
def bag(clip: Path) -> Path:
    path = clip.parent / "bag"
    write_clip_as_bag(read_clip(clip), path)
    return path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    capsys.readouterr()
    assert main(arguments) == EXIT_BAD_INPUT
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vadv2: ")]
    assert len(said) == 1, said
    for word in words:
        assert word in said[0]


def test_unreadable_bag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(b"\x89MCAP0\r\n and then nothing")
    for command in (["replay", str(broken), "--out", str(tmp_path / "out")], ["bag", "info", str(broken)]):
        refused(command, capsys, "broken.mcap", "cannot be read")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.mcap"]


def test_bag_without_a_camera(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vadv2_bringup.bag_reader import BagReader
    from vadv2_bringup.bag_writer import BagWriter

    with BagReader(bag) as reader, BagWriter(tmp_path / "blind") as writer:
        for topic, kind, stamp, data in reader.serialized("/odometry"):
            writer.write_serialized(topic, kind, data, stamp)
    refused(["replay", str(tmp_path / "blind"), "--out", str(tmp_path / "out")], capsys, "no camera", "--map")
    assert main(["bag", "info", str(tmp_path / "blind")]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["blind"]


def test_unknown_encoding(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sensor_msgs.msg import Image

    from vadv2_bringup.bag_reader import BagReader
    from vadv2_bringup.bag_writer import BagWriter
    from vadv2_ros.fields import header

    with BagReader(bag) as reader, BagWriter(tmp_path / "odd") as writer:
        for topic, kind, stamp, data in reader.serialized():
            if topic == "/camera/front/image/compressed":
                odd = Image(header=header(stamp), height=96, width=160, encoding="yuv777", step=160, data=bytes(15360))
                writer.write(topic, odd, stamp)
            else:
                writer.write_serialized(topic, kind, data, stamp)
    refused(
        ["replay", str(tmp_path / "odd"), "--out", str(tmp_path / "out"), "--in-process"],
        capsys,
        "yuv777",
        "rgb8",
        "front",
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["odd"]


def test_clip_with_a_missing_image_or_a_singular_k(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = json.loads((clip / CLIP_NAME).read_text())
    for change, word in (
        (lambda v: v["frames"][0]["images"].update(front="gone.jpg"), "gone.jpg"),
        (lambda v: v["cameras"]["back"].update(K=[[1, 2, 3]] * 3), "singular"),
    ):
        broken = tmp_path / "clip"
        broken.mkdir(exist_ok=True)
        edited = json.loads(json.dumps(values))
        for entry in edited["frames"]:
            entry["images"] = {n: str((clip / f).resolve()) for n, f in entry["images"].items()}
        change(edited)
        (broken / CLIP_NAME).write_text(json.dumps(edited))
        refused(["bag", "from-clip", str(broken), str(tmp_path / "bag")], capsys, word)
        assert not (tmp_path / "bag").exists()


@pytest.mark.parametrize("nodes", [False, pytest.param(True, marks=pytest.mark.long)])
def test_model_directory_that_does_not_load(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], nodes: bool
) -> None:
    (tmp_path / "models" / "tiny" / "planner").mkdir(parents=True)
    arguments = ["replay", str(bag), "--out", str(tmp_path / "out"), "--models", str(tmp_path / "models")]
    refused([*arguments, *([] if nodes else ["--in-process"])], capsys, "planner/config.json", "expected")
    refused([*arguments, "--model", "mine", "--in-process"], capsys, "models/mine", "is not there")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["models"]


def test_parameter_out_of_range(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["replay", str(bag), "--out", str(tmp_path / "out"), "--set", "control.drive.max_plan_age=99"]
    refused(arguments, capsys, "max_plan_age is 99", "0.05 .. 2")
    assert list(tmp_path.iterdir()) == []


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("drive", "replay", "bag", "clip", "rig"):
        assert main([command, "--help"]) == 0
        assert len(capsys.readouterr().out.splitlines()) > 8
