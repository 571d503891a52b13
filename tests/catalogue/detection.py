"""Experiments with detectors."""

SMALL = {"shapes_detector": {"width": 8, "depth": 0, "batch_size": 8, "images": 16}}
