"""The vocabulary of the stack: what passes between stages, the truth about a moment, geometry, files.

Nothing here imports ROS, torch modules or another package of this workspace.
"""
