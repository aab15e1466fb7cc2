"""Scene tokens and reasoning to candidate trajectories: anchors, truncated diffusion, validator."""
