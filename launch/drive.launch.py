"""The nodes on a vehicle or simulator: cameras, odometry and a driving command come from outside."""

from launch import LaunchDescription

from vadv2_bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description()
