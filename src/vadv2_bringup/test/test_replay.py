"""A bag through the stack: in this process, through the nodes over DDS, in real time; equal, repeatable, complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from vadv2_bringup import replay_over_topics
from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.clip import read_clip
from vadv2_bringup.clip_to_bag import write_clip_as_bag
from vadv2_bringup.drive_record import DriveRecord
from vadv2_bringup.replay import ReplayOptions, driver_config, replay
from vadv2_bringup.synthetic_clip import write_synthetic_clip
from vadv2_bringup.system_client import UnconnectedError
from vadv2_core.errors import InputError
from vadv2_driver import outputs_sha256
from vadv2_ros.conversions import (
    drive_status_from_message,
    reasoning_from_message,
    trajectory_from_message,
    vehicle_command_from_message,
)

FRAMES = 3
STAGES = {"perception", "vlm", "planner", "control"}
QUICK: dict[str, Any] = {"title": "a test", "max_tokens": 12, "models": Path("nowhere"), "timeout": 240.0}


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    write_synthetic_clip(folder / "clip", frames=FRAMES, width=320, height=180)
    write_clip_as_bag(read_clip(folder / "clip"), folder / "bag")
    return folder / "bag"


@pytest.fixture(scope="module")
def in_process(bag: Path) -> tuple[dict[str, Any], Path]:
    out = bag.parent / "in_process"
    return replay(bag, out, ReplayOptions(**QUICK, in_process=True)), out


def recorded(out: Path, topic: str) -> list[Any]:
    with BagReader(out / "bag", without_cameras=True) as reader:
        names = [t.topic for t in reader.info() if t.topic.endswith(f"/{topic}")]
        return [message for _, _, message in reader.messages(*names)]


def test_every_frame_is_answered_and_summed_up(in_process: tuple[dict[str, Any], Path]) -> None:
    summary, out = in_process
    assert json.loads((out / "summary.json").read_text()) == summary
    expected = {"frames", "trajectories", "commands", "reasonings", "dropped", "model_id", "outputs_sha256", "stages"}
    assert set(summary) == expected
    assert (summary["frames"], summary["commands"], summary["reasonings"], summary["dropped"]) == (3, 3, 3, 0)
    assert summary["model_id"].endswith("-untrained")
    assert set(summary["stages"]) == STAGES
    for stage in summary["stages"].values():
        assert 0 < stage["p50_ms"] <= stage["p95_ms"] <= stage["max_ms"]


def test_the_bag_holds_what_the_digest_was_taken_of(in_process: tuple[dict[str, Any], Path]) -> None:
    summary, out = in_process
    trajectories = [trajectory_from_message(m) for m in recorded(out, "trajectory")]
    commands = [vehicle_command_from_message(m) for m in recorded(out, "vehicle_command")]
    assert outputs_sha256(trajectories, commands) == summary["outputs_sha256"]
    assert len({reasoning_from_message(m).stamp for m in recorded(out, "reasoning")}) == FRAMES
    assert all("untrained" in drive_status_from_message(m).cause for m in recorded(out, "drive_status"))


def test_the_report_stands_alone(in_process: tuple[dict[str, Any], Path]) -> None:
    page = (in_process[1] / "report.html").read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))  # type: ignore[union-attr]
    assert len(data["frames"]) == FRAMES == len(data["series"])
    frame = data["frames"][1]
    assert len(frame["cameras"]) == 6 and all(c["image"].startswith("data:image/jpeg") for c in frame["cameras"])
    assert len(frame["bev"]["modes"]) == 20 and len(frame["bev"]["recorded"]) > 20
    front = next(c for c in frame["cameras"] if c["name"] == "front")
    assert frame["plan"]["chosen"] is None or front["path"], "the plan lies before the front camera"
    assert "Untrained weights" in page


def test_same_bag_same_outputs_and_an_earlier_drive_is_replaced(
    bag: Path, in_process: tuple[dict[str, Any], Path]
) -> None:
    summary, out = in_process
    again = replay(bag, out, ReplayOptions(**QUICK, in_process=True))
    assert again["outputs_sha256"] == summary["outputs_sha256"]
    assert sorted(p.name for p in bag.parent.iterdir()) == ["bag", "clip", "in_process"]


def test_nodes_over_dds_decide_what_the_driver_decides(
    bag: Path, in_process: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    summary = replay(bag, tmp_path / "nodes", ReplayOptions(**QUICK))
    ours, _ = in_process
    assert summary["outputs_sha256"] == ours["outputs_sha256"]
    assert summary["model_id"] == ours["model_id"]
    assert [summary[k] for k in ("frames", "trajectories", "commands", "reasonings", "dropped")] == [
        ours[k] for k in ("frames", "trajectories", "commands", "reasonings", "dropped")
    ]
    for a, b in zip(recorded(in_process[1], "scene_tokens"), recorded(tmp_path / "nodes", "scene_tokens"), strict=True):
        np.testing.assert_array_equal(a.queries.data, b.queries.data)
    words = [m.intent for m in recorded(tmp_path / "nodes", "reasoning")]
    assert words == [m.intent for m in recorded(in_process[1], "reasoning")]


@pytest.mark.long
def test_in_real_time_frames_are_answered_or_counted(bag: Path, tmp_path: Path) -> None:
    summary = replay(bag, tmp_path / "out", ReplayOptions(**QUICK, realtime=True))
    assert summary["frames"] == FRAMES
    assert summary["frames"] == summary["commands"] + summary["dropped"]


def test_settings_reach_the_stages_and_are_held_to_their_ranges() -> None:
    config = driver_config(ReplayOptions(**QUICK, settings=("planner.steps=3", "perception.backend=torch")))
    assert (config.planner.steps, config.perception.backend, config.vlm.max_tokens) == (3, "torch", 12)
    for setting, line in (
        ("planner.steps=1000", "steps is 1000"),
        ("planner.nonsense=1", "unknown key 'nonsense'"),
        ("engine.power=1", "--set"),
        ("planner.steps=many", "steps is 'many'"),
    ):
        with pytest.raises(InputError, match=line):
            driver_config(ReplayOptions(**QUICK, settings=(setting,)))


def test_a_folder_with_other_things_is_left_alone(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="is not empty"):
        replay(bag, tmp_path, ReplayOptions(**QUICK, in_process=True))
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


class FakeSystem:
    """Nodes and a client of theirs that note where they were started, and connect at the third start."""

    started: ClassVar[list[int]] = []
    running: ClassVar[int] = 0

    def __init__(self, system: object, second: object, *rest: object, **options: object) -> None:
        self.domain = second if isinstance(second, int) else None

    def __enter__(self) -> FakeSystem:
        FakeSystem.running += 1
        return self

    def __exit__(self, *_: object) -> None:
        FakeSystem.running -= 1

    def wait_until_ready(self, timeout: float) -> None:
        assert self.domain is not None
        FakeSystem.started.append(self.domain)
        if len(FakeSystem.started) < 3:
            raise UnconnectedError("planner does not hear scene_tokens", "nodes", "connected topics")


def test_nodes_that_miss_each_other_are_started_again_elsewhere(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    monkeypatch.setattr(replay_over_topics, "Supervisor", FakeSystem)
    monkeypatch.setattr(replay_over_topics, "SystemClient", FakeSystem)
    FakeSystem.started.clear()
    with BagReader(bag) as reader, DriveRecord(tmp_path / "out", "") as record:
        config = driver_config(ReplayOptions(**QUICK))
        with replay_over_topics.running_system(reader, config, record, in_step=True):
            assert FakeSystem.running == 2, "the earlier ones have ended"
        assert FakeSystem.running == 0
        record.finish()
    assert len(set(FakeSystem.started)) == 3
    assert all(1 <= domain <= 101 for domain in FakeSystem.started)
