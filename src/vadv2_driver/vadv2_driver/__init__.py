"""The four stages of VADv2 as one object without ROS."""
