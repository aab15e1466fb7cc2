"""Our vehicle command in the words of others' vehicles and simulators; their messages are imported when chosen."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

from vadv2_core.drive import VehicleCommand
from vadv2_core.errors import InputError
from vadv2_core.vehicle import VehicleConfig
from vadv2_ros.fields import header, time_from_stamp

OWN = "vadv2"


def _twist(kind: Any, command: VehicleCommand, vehicle: VehicleConfig) -> Any:
    message = kind(header=header(command.stamp))
    message.twist.linear.x = float(command.speed)
    message.twist.angular.z = command.speed * math.tan(command.steering_angle) / vehicle.wheel_base
    return message


def _ackermann(kind: Any, command: VehicleCommand, vehicle: VehicleConfig) -> Any:
    message = kind(header=header(command.stamp))
    message.drive.steering_angle = float(command.steering_angle)
    message.drive.steering_angle_velocity = float(command.steering_rate)
    message.drive.speed = float(command.speed)
    message.drive.acceleration = float(command.acceleration)
    return message


def _autoware(kind: Any, command: VehicleCommand, vehicle: VehicleConfig) -> Any:
    message = kind()
    message.stamp = message.lateral.stamp = message.longitudinal.stamp = time_from_stamp(command.stamp)
    message.lateral.steering_tire_angle = float(command.steering_angle)
    message.lateral.steering_tire_rotation_rate = float(command.steering_rate)
    message.lateral.is_defined_steering_tire_rotation_rate = True
    message.longitudinal.velocity = float(command.speed)
    message.longitudinal.acceleration = float(command.acceleration)
    message.longitudinal.is_defined_acceleration = True
    return message


def _carla(kind: Any, command: VehicleCommand, vehicle: VehicleConfig) -> Any:
    # CARLA's pedals are shares of what the vehicle can do, and its steering is positive to the right.
    message = kind(header=header(command.stamp))
    message.throttle = min(max(command.acceleration / vehicle.max_acceleration, 0.0), 1.0)
    message.brake = min(max(-command.acceleration / vehicle.max_deceleration, 0.0), 1.0)
    message.steer = min(max(-command.steering_angle / vehicle.max_steering_angle, -1.0), 1.0)
    return message


_ADAPTERS: dict[str, tuple[str, str, Callable[[Any, VehicleCommand, VehicleConfig], Any]]] = {
    "twist": ("geometry_msgs.msg", "TwistStamped", _twist),
    "ackermann": ("ackermann_msgs.msg", "AckermannDriveStamped", _ackermann),
    "autoware": ("autoware_control_msgs.msg", "Control", _autoware),
    "carla": ("carla_msgs.msg", "CarlaEgoVehicleControl", _carla),
}

COMMAND_TYPES = (OWN, *_ADAPTERS)
"""Types of command a vehicle may obey; the first is our own message alone."""


class CommandAdapter:
    """Makes another's command message of ours.

    Args:
        name: One of `COMMAND_TYPES` but our own.
        vehicle: Geometry and limits the message may need.

    Raises:
        InputError: where the message package is not installed, naming it.
    """

    def __init__(self, name: str, vehicle: VehicleConfig) -> None:
        module, kind, self._convert = _ADAPTERS[name]
        self._vehicle = vehicle
        try:
            self.message_type: Any = getattr(import_module(module), kind)
        except (ImportError, AttributeError):
            package = module.partition(".")[0]
            what = f"command type {name!r} needs {package}, which is not installed"
            raise InputError(what, "control", f"apt-get install ros-$ROS_DISTRO-{package.replace('_', '-')}") from None

    def message(self, command: VehicleCommand) -> Any:
        """The same command as the other's message, with the same stamp."""
        return self._convert(self.message_type, command, self._vehicle)
