"""Our command in others' words."""

from __future__ import annotations

import importlib.util
import math

import pytest

from vadv2_core.drive import VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.vehicle import VehicleConfig
from vadv2_ros.vehicle_commands import CommandAdapter

VEHICLE = VehicleConfig()
COMMAND = VehicleCommand(2_500_000_000, 0, 0.3, 0.1, -3.5, 8.0)


def test_a_twist_turns_as_the_bicycle_does() -> None:
    message = CommandAdapter("twist", VEHICLE).message(COMMAND)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (2, 500_000_000)
    assert message.twist.linear.x == 8.0
    assert math.isclose(message.twist.angular.z, 8.0 * math.tan(0.3) / VEHICLE.wheel_base)


@pytest.mark.parametrize("name", ["ackermann", "autoware", "carla"])
def test_a_message_package_that_is_missing_is_named(name: str) -> None:
    package = {"ackermann": "ackermann_msgs", "autoware": "autoware_control_msgs", "carla": "carla_msgs"}[name]
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(InputError, match=f"needs {package}"):
        CommandAdapter(name, VEHICLE)


def test_ackermann_where_it_is_installed() -> None:
    pytest.importorskip("ackermann_msgs", reason="ackermann_msgs comes with a ROS 2 distribution")
    drive = CommandAdapter("ackermann", VEHICLE).message(COMMAND).drive
    assert (drive.steering_angle, drive.acceleration) == pytest.approx((0.3, -3.5))


def test_carla_pedals_where_it_is_installed() -> None:
    pytest.importorskip("carla_msgs", reason="carla_msgs comes with CARLA's ROS bridge")
    message = CommandAdapter("carla", VEHICLE).message(COMMAND)
    assert (message.throttle, message.brake) == pytest.approx((0.0, 0.5))
    assert message.steer == pytest.approx(-0.5)
