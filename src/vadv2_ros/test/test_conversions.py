"""Dataclass -> message -> bag -> message -> dataclass, bit for bit."""

from __future__ import annotations

import dataclasses
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from vadv2_msgs import msg as messages
from vocabulary import candidates, examples, tokens

from vadv2_core.drive import DriveState
from vadv2_core.errors import InputError
from vadv2_core.taxonomy import DrivingAction, LateralAction, LongitudinalAction
from vadv2_ros import camera_messages, conversions
from vadv2_ros.bag_types import bag_typestore

NAMES = tuple(examples(np.random.default_rng(0)))


def assert_same(a: object, b: object, where: str = "") -> None:
    """Equal in type, dtype, shape and every bit."""
    assert type(a) is type(b), where
    if dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape, where
        assert a.tobytes() == b.tobytes(), where
    elif isinstance(a, tuple):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


def converters(name: str):
    module = camera_messages if name in ("rig", "frame") else conversions
    return getattr(module, f"{name}_to_message"), getattr(module, f"{name}_from_message")


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3], ids=["mcap", "sqlite3"])
@pytest.mark.parametrize("name", NAMES)
def test_round_trip_through_a_bag(name: str, plugin: StoragePlugin, tmp_path: Path) -> None:
    kind, values = examples(np.random.default_rng(7))[name]
    to_message, from_message = converters(name)
    store, typename = bag_typestore(), f"vadv2_msgs/msg/{kind}"
    with Writer(tmp_path / "bag", version=9, storage_plugin=plugin) as writer:
        connection = writer.add_connection("/x", typename, typestore=store)
        for i, value in enumerate(values):
            writer.write(connection, i, serialize_message(to_message(value)))
    with Reader(tmp_path / "bag") as reader:
        read = [(c.msgtype, bytes(data)) for c, _, data in reader.messages()]
    assert len(read) == len(values)
    for value, (msgtype, data) in zip(values, read, strict=True):
        # A client of ROS reads the bytes, and so does a tool that has only the bag.
        assert_same(value, from_message(deserialize_message(data, getattr(messages, kind))), name)
        assert_same(value, from_message(store.deserialize_cdr(data, msgtype)), name)


@pytest.mark.parametrize(
    ("kind", "enum", "prefix"),
    [
        (messages.DrivingCommand, DrivingAction, ""),
        (messages.DriveStatus, DriveState, ""),
        (messages.Reasoning, LongitudinalAction, "LONGITUDINAL_"),
        (messages.Reasoning, LateralAction, "LATERAL_"),
    ],
)
def test_constants_are_the_taxonomy(kind: type, enum: type[IntEnum], prefix: str) -> None:
    names = (n for n in dir(type(kind)) if n[0].isalpha() and n.isupper() and n.startswith(prefix))
    constants = {n: getattr(kind, n) for n in names}
    assert {prefix + member.name: int(member) for member in enum} == constants


def test_every_message_field_is_commented() -> None:
    definitions = Path(__file__).resolve().parents[2] / "vadv2_msgs" / "msg"
    for path in definitions.glob("*.msg"):
        lines = path.read_text().splitlines()
        assert lines[0].startswith("# "), path
        if path.stem == "NamedValue":
            continue
        bare = [line for line in lines if line and "=" not in line.partition("#")[0] and "#" not in line]
        assert not bare, (path.name, bare)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.k.pop(), "SceneTokens.k: 53 values"),
        (lambda m: setattr(m.tokens, "shape", [7]), "SceneTokens.tokens: 144 values"),
        (lambda m: m.objects.boxes.pop(), "SceneTokens.objects: 24 values"),
        (lambda m: m.ahead.weather.pop(), "SceneTokens.ahead.weather: 5 values"),
        (lambda m: m.ahead.flags.append(0.5), "SceneTokens.ahead.flags: 11 values"),
    ],
)
def test_torn_tokens_are_named(change, says: str) -> None:
    message = conversions.scene_tokens_to_message(tokens(np.random.default_rng(3)))
    change(message)
    with pytest.raises(InputError, match=says):
        conversions.scene_tokens_from_message(message)


def test_a_choice_that_is_not_there_is_refused() -> None:
    message = conversions.candidates_to_message(candidates(np.random.default_rng(3)))
    message.chosen = 20
    with pytest.raises(InputError, match="mode 20 is chosen"):
        conversions.candidates_from_message(message)
    command = messages.DrivingCommand(action=99)
    with pytest.raises(InputError, match="value 99"):
        conversions.driving_command_from_message(command)


def test_tiny_tokens_fit_in_400_kb() -> None:
    rng = np.random.default_rng(0)
    big = dataclasses.replace(tokens(rng, 32, 16), tokens=np.zeros((6, 14, 30, 64), np.float16))
    assert len(serialize_message(conversions.scene_tokens_to_message(big))) <= 400_000
