"""Experiments with speech."""

SMALL = {"phones_ctc": {"width": 8, "batch_size": 4, "utterances": 8}}
