"""Scores of recorded drives: any rosbag2 with a plan and odometry; the odometry is the truth."""
