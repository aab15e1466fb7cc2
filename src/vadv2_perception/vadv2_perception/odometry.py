"""Moved to `vadv2_core.odometry`: control reads odometry too, and a stage never imports another."""

from vadv2_core.odometry import OdometryBuffer, OdometryConfig, OdometryCounters, carried, interpolated

__all__ = ["OdometryBuffer", "OdometryConfig", "OdometryCounters", "carried", "interpolated"]
