"""Scenes, metrics, benchmark, regression and reports."""
