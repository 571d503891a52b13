"""A Hopfield network stores random patterns, up to where its memory breaks down.

Data: random patterns of +1 and -1, one stored at each step, so that the load is steps / units; the
test recalls all of them, also those not yet stored, from probes with a share of the signs flipped.
Cost: 8 s on two CPU cores, compiling aside. Scores: test/overlap 0.999 at a load of 0.10, 0.954 at
0.138, where theory sees the breakdown, and 0.377 at 0.20. The pseudo-inverse rule recalls all of
300 patterns from probes with a tenth of the signs flipped.

    python -m jaxdl.launch patterns_hopfield --steps 200
"""

from typing import Literal

from jaxdl.data import batches, patterns
from jaxdl.learners import hebbian
from jaxdl.run import AtLeast, Run


def experiment(
    units: int = 1000,
    rule: Literal["hebb", "pseudo-inverse"] = "hebb",
    flipped: float = 0.0,
    steps: int = 138,
) -> Run:
    """Hebb's rule, 0.138 patterns a unit: the most that it can hold."""
    stored, probes = patterns.binary(steps, units, flipped)
    return Run(
        learner=hebbian.hopfield(rule),
        train=batches.shuffled(stored, 1),
        tests={"test": batches.once(probes, 256)},
        steps=steps,
        expect=AtLeast("test/overlap", 0.93),
    )
