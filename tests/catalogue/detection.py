"""Experiments with detectors."""

SMALL = {
    "shapes_detector": {"width": 8, "depth": 0, "batch_size": 8, "images": 16},
    "shapes_detr": {
        "width": 8,
        "trunk_depth": 0,
        "encoder_depth": 0,
        "decoder_depth": 1,
        "batch_size": 8,
        "images": 16,
    },
}
