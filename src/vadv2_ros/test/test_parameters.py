"""Parameters come from the config dataclass, with its descriptions and ranges, and go back into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

from vadv2_core.config import parameter, validate
from vadv2_core.errors import InputError
from vadv2_ros.parameters import NodeParameters


@dataclass(frozen=True, slots=True)
class Inner:
    gain: float = parameter(1.0, "A gain.", unit="1/s", minimum=0.0, maximum=5.0, live=True)
    gains: tuple[float, ...] = parameter((1.0, 2.0), "Gains.", minimum=0.0, live=True)

    def __post_init__(self) -> None:
        validate(self, "inner")
        if len(self.gains) != 2:
            raise InputError(f"gains has {len(self.gains)} entries", "inner", "2")


@dataclass(frozen=True, slots=True)
class Config:
    count: int = parameter(3, "A count.", minimum=1, maximum=9)
    policy: str = parameter("mask", "A policy.", choices=("mask", "skip"), live=True)
    inner: Inner = field(default_factory=lambda: Inner(gain=2.5))


@pytest.fixture
def context() -> Iterator[rclpy.Context]:
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


def node(context: rclpy.Context, **overrides: object) -> Node:
    given = [Parameter(name.replace("__", "."), value=value) for name, value in overrides.items()]
    return Node("planner", context=context, parameter_overrides=given)


def test_defaults_descriptions_and_ranges(context: rclpy.Context) -> None:
    planner = node(context)
    assert NodeParameters(planner, Config).config == Config()
    gain = planner.describe_parameter("inner.gain")
    assert gain.description == "A gain. [1/s]" and not gain.read_only
    assert (gain.floating_point_range[0].from_value, gain.floating_point_range[0].to_value) == (0.0, 5.0)
    assert planner.describe_parameter("count").integer_range[0].to_value == 9
    assert planner.describe_parameter("count").read_only
    assert planner.describe_parameter("policy").additional_constraints == "one of mask, skip"


def test_overrides_are_read_back(context: rclpy.Context) -> None:
    config = NodeParameters(node(context, count=7, inner__gains=[4.0, 5.0]), Config).config
    assert config.count == 7 and config.inner == Inner(2.5, (4.0, 5.0))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"count": 10}, "planner parameter 'count': value 10 (expected 1 .. 9)"),
        ({"count": "many"}, "planner parameter 'count': "),
        ({"policy": "wait"}, "planner: policy is 'wait' (expected one of mask, skip)"),
        ({"inner__gains": [1.0, -2.0]}, "gains is -2.0 (expected 0 .. inf)"),
    ],
)
def test_a_wrong_start_is_one_line(context: rclpy.Context, overrides: dict[str, object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        NodeParameters(node(context, **overrides), Config)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_live_change_is_checked_as_a_whole(context: rclpy.Context) -> None:
    heard: list[Config] = []
    planner = node(context)
    parameters = NodeParameters(planner, Config, heard.append)
    (accepted,) = planner.set_parameters([Parameter("inner.gain", value=0.5)])
    assert accepted.successful and parameters.config.inner.gain == 0.5 and heard[-1] is parameters.config
    (refused,) = planner.set_parameters([Parameter("inner.gains", value=[1.0])])
    assert not refused.successful and "gains has 1 entries" in refused.reason
    (fixed,) = planner.set_parameters([Parameter("count", value=4)])
    assert not fixed.successful
    assert parameters.config == Config(inner=Inner(0.5)) and len(heard) == 1
