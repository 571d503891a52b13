"""Associative memories and their experiments."""

import catalogue
from jaxdl.data import batches, patterns
from jaxdl.learners import hebbian, modern_hopfield

MEMORIES = patterns.binary(24, 20, 0.1)


def _stored() -> batches.Shuffled:
    return batches.shuffled(MEMORIES.stored, 8)


def _probes() -> dict:
    return {name: values[:8] for name, values in MEMORIES.probes.items()}


LEARNERS = {
    "hopfield": catalogue.Case(hebbian.hopfield, _stored, _probes, drawn=False),
    "hopfield pseudo-inverse": catalogue.Case(
        lambda: hebbian.hopfield("pseudo-inverse"), _stored, _probes, drawn=False
    ),
    "modern hopfield": catalogue.Case(
        lambda: modern_hopfield.memory(24), _stored, _probes, drawn=False
    ),
}

SMALL = {
    "patterns_hopfield": {"units": 20},
    "patterns_modern_hopfield": {"width": 8, "batch_size": 10},
}
