"""The nodes and a bag that plays at its own speed; ``./vadv2 replay`` is the same in step, with a report."""

from launch import LaunchDescription

from vadv2_bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    bag = ("bag", "", "rosbag2 folder to play with --clock; empty plays none.")
    return launch_description({"use_sim_time": "true", "engage": "true", "image_transport": "compressed"}, (bag,))
