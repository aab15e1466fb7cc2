"""Trajectories to vehicle commands: tracking, vehicle limits, the drive state machine."""

from vadv2_control.configuration import ControlConfig
from vadv2_control.controller import Controller
from vadv2_core.obstacles import Obstacles

__all__ = ["ControlConfig", "Controller", "Obstacles"]
