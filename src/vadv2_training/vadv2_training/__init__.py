"""Losses, training stages and data sets."""
