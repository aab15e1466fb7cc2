"""Trajectories to vehicle commands: tracking, vehicle limits, the drive state machine."""
