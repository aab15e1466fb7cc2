"""Held-out scenes: recorded, chosen, seen once by the encoder, then planned on and spoken of as often as wanted."""
