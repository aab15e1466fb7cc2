"""Open-loop nuScenes metrics in four conventions; none of them is called "the collision rate"."""
