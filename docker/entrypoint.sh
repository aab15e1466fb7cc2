#!/bin/bash
# ROS first, then our own workspace; arguments go to ./vadv2, or are a command of their own (ros2 ..., bash).
set -e
source /opt/ros/jazzy/setup.bash
source /vadv2/install/setup.bash
if command -v "$1" > /dev/null 2>&1; then
    exec "$@"
fi
exec /vadv2/vadv2 "$@"
