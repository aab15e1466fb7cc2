"""Codes that meshes, shaders and the ground truth share: texture layers, vertex parts, semantic classes."""

from __future__ import annotations

from enum import IntEnum


class Layer(IntEnum):
    """Layers of the texture array."""

    PLAIN = 0
    ASPHALT = 1
    PAVING = 2
    GRASS = 3
    OFFICE = 4
    BRICK = 5
    PLASTER = 6
    ROOF = 7
    LEAVES = 8
    SHOPS = 9
    CONCRETE = 10
    STOP_SIGN = 11
    YIELD_SIGN = 12
    ROAD_WORK_SIGN = 13
    STRIPES = 14
    GLOW = 15
    CLOUDS = 16


class Part(IntEnum):
    """What a vertex belongs to: how an instance's state colours it or makes it shine."""

    FIXED = 0
    PAINT = 1
    BRAKE_LAMP = 2
    INDICATOR_LEFT = 3
    INDICATOR_RIGHT = 4
    BLUE_LIGHT_LEFT = 5
    BLUE_LIGHT_RIGHT = 6
    HEADLAMP = 7
    GLASS = 8
    LAMP_RED = 9
    LAMP_AMBER = 10
    LAMP_GREEN = 11
    LIMB_FORWARD = 12
    LIMB_BACKWARD = 13
    ROAD_SURFACE = 14
    STREET_LAMP = 15
    FACADE = 16


class SemanticClass(IntEnum):
    """Classes of the semantic ground truth (append-only)."""

    SKY = 0
    GROUND = 1
    ROAD = 2
    LANE_MARKING = 3
    CROSSING = 4
    STOP_LINE = 5
    SIDEWALK = 6
    BUILDING = 7
    VEGETATION = 8
    POLE = 9
    SIGNAL = 10
    SIGN = 11
    VEHICLE = 12
    TWO_WHEELER = 13
    PEDESTRIAN = 14
    OBSTACLE = 15
