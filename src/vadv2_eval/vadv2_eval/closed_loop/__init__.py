"""Closed-loop scores: CARLA leaderboard, Bench2Drive, PDMS over the driven scenes, and the drives they come from."""
