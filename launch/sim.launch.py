"""The city and the nodes that drive in it, in real time: ``./vadv2 drive`` is the same in step, with a report."""

from launch import LaunchDescription

from vadv2_bringup.launch_description import launch_description


def generate_launch_description() -> LaunchDescription:
    city = (
        ("town", "town_a", "Town (./vadv2 sim towns), or a folder with a SUMO net."),
        ("scenario", "free", "Scenario (./vadv2 sim list)."),
        ("seed", "0", "Of everything random in the drive."),
        ("driver", "model", "model drives by the cameras; expert or lane_follower plan from the truth."),
    )
    return launch_description({"use_sim_time": "true", "engage": "true"}, city)
