"""Plans as ``visualization_msgs/MarkerArray``, in base_link and frame-locked, with the stamp of the data."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from vadv2_core.geometry import Array
from vadv2_core.trajectory import TrajectoryCandidates
from vadv2_core.vehicle import VehicleConfig
from vadv2_ros.fields import header

_LIFETIME_NS = 400_000_000
_CHOSEN = (0.10, 0.75, 0.35)
_MODE = (0.35, 0.55, 0.95)
_HEIGHT = 0.1
"""Lines are drawn so high above the ground, m, that the ground does not hide them."""


def _line(plan: TrajectoryCandidates, name: str, number: int, points: Array, width: float, alpha: float) -> Marker:
    red, green, blue = _CHOSEN if name in ("chosen", "ego") else _MODE
    marker = Marker(header=header(plan.stamp), ns=name, id=number, type=Marker.LINE_STRIP, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = width
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=alpha)
    marker.points = [Point(x=float(x), y=float(y), z=_HEIGHT) for x, y in points]
    marker.lifetime = Duration(nanosec=_LIFETIME_NS)
    marker.frame_locked = True
    return marker


def markers_of(plan: TrajectoryCandidates, vehicle: VehicleConfig) -> MarkerArray:
    """All modes (the more opaque the more confident), the chosen one, the ego's outline and the reason in words."""
    markers = []
    strongest = max(float(plan.confidences.max(initial=0.0)), 1e-6)
    for i, (points, confidence) in enumerate(zip(plan.points, plan.confidences, strict=True)):
        if i != plan.chosen:
            alpha = 0.08 + 0.5 * float(confidence) / strongest
            markers.append(_line(plan, "modes", i, points[:, 1:3], 0.06, alpha))
    if plan.chosen is not None:
        markers.append(_line(plan, "chosen", 0, plan.points[plan.chosen][:, 1:3], 0.3, 0.9))
    rear, front = -vehicle.rear_overhang, vehicle.length - vehicle.rear_overhang
    half = 0.5 * vehicle.width
    outline = np.array([[rear, -half], [front, -half], [front, half], [rear, half], [rear, -half]])
    markers.append(_line(plan, "ego", 0, outline, 0.08, 0.9))
    words = plan.rationale if plan.chosen is not None else f"withheld: {plan.reason}"
    text = Marker(header=header(plan.stamp), ns="reason", type=Marker.TEXT_VIEW_FACING, action=Marker.ADD, text=words)
    text.pose.position.z = vehicle.height + 1.0
    text.pose.orientation.w = 1.0
    text.scale.z = 0.6
    text.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
    text.lifetime = Duration(nanosec=_LIFETIME_NS)
    text.frame_locked = True
    if words:
        markers.append(text)
    return MarkerArray(markers=markers)
