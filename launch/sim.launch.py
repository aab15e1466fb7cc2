"""The nodes for the workspace's simulator: time from /clock, commands from the route, engaged by itself."""

from launch import LaunchDescription

from vadv2_bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    return launch_description({"use_sim_time": "true", "engage": "true", "commander": "true"})
