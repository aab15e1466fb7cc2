"""Holding a change against golden logs: the same bag in, every stage's answer compared field by field."""
