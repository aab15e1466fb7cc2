"""Drives that somebody recorded: published data sets and a vehicle's own bags, as frames to train on."""
