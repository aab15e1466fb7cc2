"""The city over ROS: a drive leaves what it should, twice the same; a scene log becomes a bag that is read again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.city_system import drivers_nodes, with_city
from vadv2_bringup.cli import main
from vadv2_bringup.drive_cli import default_driver
from vadv2_bringup.scene_log_to_bag import road_map_of, write_scene_log_as_bag
from vadv2_bringup.system import CONFIG, SystemOptions, describe_system
from vadv2_core.errors import EXIT_BAD_INPUT, InputError
from vadv2_core.files import read_json
from vadv2_core.scene_log import SceneLog
from vadv2_sim.node_configuration import SimNodeConfig
from vadv2_sim.record import DriveOrder, record_drive
from vadv2_sim.rig_files import default_rig

RIG = str(CONFIG / "rig" / "surround6.yaml")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    outcome = record_drive(DriveOrder("town_b", "free", 4, "lane_follower", 1.0), folder)
    return folder / outcome.order.file


def test_the_model_drives_as_soon_as_it_is_trained(tmp_path: Path) -> None:
    for stage in ("perception", "vlm"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "model.safetensors").touch()
    assert default_driver(tmp_path) == "expert", "no planner, no driver"
    (tmp_path / "planner").mkdir()
    (tmp_path / "planner" / "model.safetensors").touch()
    assert default_driver(tmp_path) == "model"


def test_who_drives_says_which_nodes_run() -> None:
    system = describe_system(options=SystemOptions(rig_file=RIG, use_sim_time=True))
    assert [n.name for n in drivers_nodes(system, "expert").nodes] == ["control"]
    city = with_city(system, SimNodeConfig(driver="model", scenario="cut_in", rig_file=RIG))
    assert [n.name for n in city.nodes] == ["sim", *(n.name for n in system.nodes)]
    assert city.nodes[0].parameters["scenario"] == "cut_in"
    assert not city.nodes[0].parameters["use_sim_time"]
    assert ("~/output/camera/back/image", "camera/back/image") in city.nodes[0].remappings


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["drive", "--town", "atlantis"], "unknown town"),
        (["drive", "--scenario", "flying"], "unknown scenario"),
        (["drive", "--driver", "nobody"], "driver"),
        (["drive", "--weather", "hail"], "weather"),
        (["sim", "show", "flying"], "unknown scenario"),
        (["sim", "export", "nowhere.scenes.zst", "x.bag"], "No such file"),
        (["sim", "build-town", "nowhere"], "is missing"),
        (["sim", "record", "--towns", "town_x", "--out", "never"], "unknown town"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == EXIT_BAD_INPUT
    said = capfd.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("*.json"))


def test_a_log_without_its_map_and_one_cut_short(log: Path, tmp_path: Path) -> None:
    assert road_map_of(SceneLog(log)).name == "town_b"
    cut = tmp_path / "cut.scenes.zst"
    cut.write_bytes(log.read_bytes()[:40])
    with pytest.raises(InputError, match="scene log"):
        write_scene_log_as_bag(cut, tmp_path / "bag", default_rig())
    assert not (tmp_path / "bag").exists()
    with pytest.raises(InputError, match="unknown weather"):
        write_scene_log_as_bag(log, tmp_path / "bag", default_rig(), weather="hail")


@pytest.mark.long
def test_a_log_becomes_a_bag(log: Path, tmp_path: Path) -> None:
    assert write_scene_log_as_bag(log, tmp_path / "bag", default_rig(), limit=3) == 3
    with BagReader(tmp_path / "bag", {}, None) as reader:
        frames = list(reader.frames())
    scenes = SceneLog(log)
    assert [f.frame.stamp for f in frames] == [scenes[k].scene.stamp for k in range(3)]
    assert frames[1].command.text == scenes[1].scene.command.text
    assert abs(frames[2].ego.pose.x - scenes[2].scene.ego.pose.x) < 1e-3
    assert frames[0].frame.valid.all()
    assert frames[0].frame.images[0].std() > 10.0


@pytest.mark.long
def test_a_drive_is_whole_and_twice_the_same(tmp_path: Path) -> None:
    said = []
    for name in ("first", "second"):
        out = tmp_path / name
        # A process of its own, as users have it: the drive forks, which a process that has drawn must not.
        arguments = ["drive", "--town", "town_b", "--seconds", "2", "--seed", "3", "--out", str(out)]
        subprocess.run([sys.executable, "-m", "vadv2_bringup.cli", *arguments], check=True, timeout=300)
        said.append(read_json(out / "summary.json"))
        for part in ("report.html", "drive.mp4", "bag", "drive.scenes.zst"):
            assert (out / part).exists()
        assert len(SceneLog(out / "drive.scenes.zst")) == said[-1]["frames"] == 20
    assert said[0]["outputs_sha256"] == said[1]["outputs_sha256"]
    assert said[0]["driver"] == "expert"
    assert said[0]["dropped"] == 0
