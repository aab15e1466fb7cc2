"""Recorded and simulated drives as Scenes, and what they are scored with."""
