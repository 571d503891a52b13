"""Experiments on how far an answer can be trusted."""

SMALL = {
    "digits_calibration": {"width": 4},
    "loans_fairness": {"width": 4},
}
