"""Whatever comes through a door is read, or refused by an `InputError`; nothing else is raised."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import vocabulary
import yaml
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutation_strategies import ANYTHING, damaged, mutated, mutated_message

from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.clip import CLIP_NAME, read_clip
from vadv2_bringup.clip_to_bag import write_clip_as_bag
from vadv2_bringup.synthetic_clip import write_synthetic_clip
from vadv2_control.configuration import ControlConfig
from vadv2_core.camera import load_rig, rig_from_mapping
from vadv2_core.checkpoint import load_checkpoint, save_checkpoint
from vadv2_core.command import DrivingCommand, Route
from vadv2_core.config import from_mapping, to_mapping
from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.language.commands import parse_command
from vadv2_core.reasoning import Reasoning
from vadv2_core.scene import Agent, Scene
from vadv2_core.scene_log import LogFrame, SceneLog, SceneLogHeader, SceneLogWriter
from vadv2_core.taxonomy import AgentClass, Cause, DrivingAction, LateralAction, LongitudinalAction, Weather
from vadv2_core.vehicle import VehicleConfig, load_vehicle
from vadv2_eval.open_loop.npz_file import read_samples
from vadv2_eval.pdms.scene_case import parse_case, read_cases
from vadv2_perception.torch_file import read_torch_file
from vadv2_planner.anchors import DEFAULT_PATH, load_anchors
from vadv2_planner.commander import Commander, CommanderConfig
from vadv2_ros import camera_messages, conversions
from vadv2_ros.standard_messages import ego_state_from_odometry, odometry_from_ego_state
from vadv2_vlm.parser import parse_reasoning, whole_sentences

WORKSPACE = Path(__file__).resolve().parents[3]
CASES = WORKSPACE / "src" / "vadv2_eval" / "test" / "data" / "pdms_public.json.gz"
Feed = Callable[[Any], object]


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="vadv2_fuzz_"))


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def _text(value: Any) -> bytes:
    return json.dumps(value).encode()


def _rig() -> tuple[Any, Feed]:
    values = yaml.safe_load((WORKSPACE / "config" / "rig" / "surround6.yaml").read_text())
    return mutated(values), lambda v: rig_from_mapping(v, "fuzz")


def _rig_file() -> tuple[Any, Feed]:
    data = (WORKSPACE / "config" / "rig" / "surround6.yaml").read_bytes()
    return damaged(data), lambda d: load_rig(_file("rig.yaml", d))


def _config() -> tuple[Any, Feed]:
    return mutated(to_mapping(ControlConfig())), lambda v: from_mapping(ControlConfig, v)


def _checkpoint_folder() -> Path:
    tensors = {"w": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)}
    save_checkpoint(_folder() / "model", kind="planner", model_id="m-1", config={"a": 1}, tensors=tensors)
    return _folder() / "model"


def _checkpoint_header() -> tuple[Any, Feed]:
    folder = _checkpoint_folder()
    sound = json.loads((folder / "config.json").read_text())

    def feed(value: Any) -> object:
        (folder / "config.json").write_bytes(_text(value))
        return load_checkpoint(folder, "planner")

    return mutated(sound), feed


def _checkpoint_weights() -> tuple[Any, Feed]:
    """The hash is made right again, so that the damage reaches the parser behind it."""
    folder = _checkpoint_folder()
    header = json.loads((folder / "config.json").read_text())
    sound = (folder / "model.safetensors").read_bytes()

    def feed(data: bytes) -> object:
        (folder / "model.safetensors").write_bytes(data)
        (folder / "config.json").write_bytes(_text({**header, "sha256": hashlib.sha256(data).hexdigest()}))
        return load_checkpoint(folder, "planner")

    return damaged(sound), feed


def _sound_log() -> Path:
    path = _folder() / "drive.scenes.zst"
    points = np.stack([np.arange(50.0), np.zeros(50)], -1)
    with SceneLogWriter(path, SceneLogHeader("town", "0" * 64)) as log:
        for step in range(3):
            stamp = 10**12 + step * 10**8
            ego = EgoState(stamp, Pose2(0.5 * step, 0.0, 0.0), (5.0, 0.0), (0.0, 0.0), 0.0, 0.0)
            car = Agent("car", AgentClass.CAR, 9.0 + step, 2.0, 0.0, 4.0, 1.8, 1.5, (3.0, 0.0))
            command = DrivingCommand(stamp, "go straight", DrivingAction.STRAIGHT, 0.0)
            route = Route(stamp, points, ("e_1",), 13.9)
            log.write(LogFrame(Scene(stamp, ego, (car,), {}, command, route, frozenset(), Weather.DAY, 0.0)))
    return path


def _scene_log() -> tuple[Any, Feed]:
    data = _sound_log().read_bytes()
    return damaged(data), lambda d: list(SceneLog(_file("broken.scenes.zst", d)))


def _scene_log_records() -> tuple[Any, Feed]:
    """Damage inside the compressed stream: every record is JSON, not every one is a record."""
    lines = zstandard.ZstdDecompressor().decompressobj().decompress(_sound_log().read_bytes()).splitlines()
    records = [json.loads(line) for line in lines]

    def feed(value: Any) -> object:
        data = b"".join(_text(r) + b"\n" for r in value)
        return list(SceneLog(_file("broken.scenes.zst", zstandard.ZstdCompressor().compress(data))))

    return mutated(records), feed


def _pdms_case() -> tuple[Any, Feed]:
    sound = json.loads(gzip.decompress(CASES.read_bytes()))["cases"][0]
    return mutated(sound), lambda v: parse_case(v, "fuzz")


def _pdms_file() -> tuple[Any, Feed]:
    whole = json.loads(gzip.decompress(CASES.read_bytes()))
    whole["cases"] = whole["cases"][:1]
    return damaged(gzip.compress(_text(whole))), lambda d: read_cases(_file("cases.json.gz", d))


def _clip_folder() -> Path:
    folder = _folder() / "clip"
    if not folder.exists():
        write_synthetic_clip(folder, frames=3, width=80, height=48)
    return folder


def _clip() -> tuple[Any, Feed]:
    folder = _clip_folder()
    sound = json.loads((folder / CLIP_NAME).read_text())

    def feed(value: Any) -> object:
        (folder / CLIP_NAME).write_bytes(_text(value))
        try:
            return read_clip(folder)
        finally:
            (folder / CLIP_NAME).write_bytes(_text(sound))

    return mutated(sound), feed


def _bag() -> tuple[Any, Feed]:
    bag = _folder() / "bag"
    if not bag.exists():
        write_clip_as_bag(read_clip(_clip_folder()), bag)
    (storage,) = bag.glob("*.mcap")

    def feed(data: bytes) -> object:
        with BagReader(_file("broken.mcap", data)) as reader:
            return [f.frame.stamp for f in reader.frames()]

    return damaged(storage.read_bytes()), feed


_WORDS = st.sampled_from(
    [
        "the",
        "a",
        "car",
        "bus",
        "pedestrian",
        "ego",
        "stops",
        "slows",
        "turns",
        "left",
        "right",
        "in",
        "10",
        "m",
        "because",
        "red",
        "light",
        ".",
        ",",
        "!",
        "then",
        "keep",
        "lane",
    ]
)
TEXTS = st.text(max_size=60) | st.lists(_WORDS, max_size=20).map(" ".join)


def _reasoning() -> tuple[Any, Feed]:
    def feed(text: str) -> object:
        whole_sentences(text)
        actions = LongitudinalAction(0), 0.5, LateralAction(0), 0.5
        said = Reasoning(0, text, text, Cause(0), np.zeros(8, np.float32), text, *actions, "m", 0.1, False)
        return parse_reasoning(said)

    return TEXTS, feed


def _command_text() -> tuple[Any, Feed]:
    points = np.stack([np.arange(50.0), np.zeros(50)], -1)
    ego = EgoState(0, Pose2(0.0, 0.0, 0.0), (5.0, 0.0), (0.0, 0.0), 0.0)

    def feed(text: str) -> object:
        parse_command(text)
        return Commander(CommanderConfig()).command(Route(0, points, (), 10.0), ego, text)

    return TEXTS, feed


def _message(name: str, index: int) -> tuple[Any, Feed]:
    _, values = vocabulary.examples(np.random.default_rng(0))[name]
    module = camera_messages if name in ("rig", "frame") else conversions
    sound = getattr(module, f"{name}_to_message")(values[index])
    return mutated_message(sound), getattr(module, f"{name}_from_message")


def _odometry() -> tuple[Any, Feed]:
    return mutated_message(odometry_from_ego_state(vocabulary.ego_state(np.random.default_rng(0)))), (
        ego_state_from_odometry
    )


def _vehicle_file() -> tuple[Any, Feed]:
    data = yaml.safe_dump(to_mapping(VehicleConfig())).encode()
    return damaged(data), lambda d: load_vehicle(_file("vehicle.yaml", d))


def _torch_file() -> tuple[Any, Feed]:
    sound = io.BytesIO()
    torch.save({"w": torch.ones(2, 3), "b": torch.zeros(4)}, sound, _use_new_zipfile_serialization=False)
    return damaged(sound.getvalue()), lambda d: read_torch_file(_file("encoder.pth", d))


def _open_loop() -> tuple[Any, Feed]:
    sound = io.BytesIO()
    with np.load(CASES.with_name("open_loop_public.npz"), allow_pickle=False) as arrays:
        np.savez_compressed(sound, **{name: arrays[name][:1] for name in arrays.files if arrays[name].ndim})
    return damaged(sound.getvalue()), lambda d: read_samples(_file("samples.npz", d))


def _anchors() -> tuple[Any, Feed]:
    sound = json.loads(DEFAULT_PATH.read_text())
    sound["anchors"] = sound["anchors"][:2]
    return mutated(sound), lambda v: load_anchors(_file("anchors.json", _text(v)))


DOORS: dict[str, Callable[[], tuple[Any, Feed]]] = {
    "rig": _rig,
    "rig_file": _rig_file,
    "config": _config,
    "config_anything": lambda: (
        st.dictionaries(st.text(max_size=12), ANYTHING, max_size=3),
        lambda v: from_mapping(ControlConfig, v),
    ),
    "checkpoint_header": _checkpoint_header,
    "checkpoint_weights": _checkpoint_weights,
    "vehicle_file": _vehicle_file,
    "torch_file": _torch_file,
    "open_loop": _open_loop,
    "anchors": _anchors,
    "scene_log": _scene_log,
    "scene_log_records": _scene_log_records,
    "pdms_case": _pdms_case,
    "pdms_file": _pdms_file,
    "clip": _clip,
    "bag": _bag,
    "reasoning_text": _reasoning,
    "command_text": _command_text,
    "odometry_message": _odometry,
    **{
        f"{name}_message": lambda name=name: _message(name, 0) for name in vocabulary.examples(np.random.default_rng(0))
    },
}
SLOW = {
    "bag": 20,
    "pdms_case": 4,
    "pdms_file": 2,
    "clip": 4,
    "open_loop": 8,
    "rig": 2,
    "frame_message": 4,
    "scene_tokens_message": 2,
}
"""Doors whose every example takes long: so many times fewer of them."""


def fuzz(door: str, examples: int) -> Counter[str]:
    """Feed one door.

    Returns:
        How many were read, how many were refused, and what else came back, by where it came from.
    """
    strategy, feed = DOORS[door]()
    counts: Counter[str] = Counter()

    @settings(
        max_examples=max(10, examples // SLOW.get(door, 1)),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(value: Any) -> None:
        with np.errstate(all="ignore"):
            try:
                feed(value)
                counts["read"] += 1
            except InputError:
                counts["refused"] += 1
            except Exception as error:  # every kind of it is wanted, not the first alone
                place = traceback.extract_tb(error.__traceback__)
                ours = next((f for f in reversed(place) if "/src/" in f.filename), place[-1])
                where = f"{Path(ours.filename).name}:{ours.lineno}"
                counts[f"{where} {type(error).__name__}: {str(error)[:80]!r}"] += 1

    one()
    return counts


def strays(counts: Counter[str]) -> list[str]:
    """What came back that is neither."""
    return [words for words in counts if words not in ("read", "refused")]


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    shutil.rmtree(_folder(), ignore_errors=True)
    _folder.cache_clear()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", DOORS)
def test_nothing_but_an_input_error_comes_back(door: str) -> None:
    counts = fuzz(door, 200)
    assert counts.total() >= 10 and not strays(counts), strays(counts)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", DOORS)
def test_nothing_but_an_input_error_comes_back_from_thousands(door: str) -> None:
    counts = fuzz(door, 2_000)
    print(f"\n{door}: {counts['read']} read, {counts['refused']} refused")  # the note's counts: pytest -m long -s
    assert not strays(counts), strays(counts)
    assert counts["refused"] or door.endswith(("_text", "_message"))
