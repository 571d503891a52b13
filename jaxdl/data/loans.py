"""Made applications for loans, which were granted with a known bias against one group.

Everybody has a merit, the same distribution in both groups, and whoever's merit and luck are above
0 is worthy of a loan. Those who decided took `bias` off the merit of group 1. What is known of an
applicant tells of the merit, and one number of the group as well (a postcode): a model that never
sees the group still learns the bias.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxdl.data import splits
from jaxdl.nn import limits

NUMBERS = 8  # of an applicant; the last one is the postcode
GROUPS = 2
LUCK = 0.75  # a logistic distribution's scale, beside a merit of deviation 1
TELLING = 3.0  # deviations from 0 to either group's mean postcode, which nearly tells the group


class Applications(NamedTuple):
    """input: what is known. target: 1 where the loan was granted. worthy: 1 where it should have
    been. group: 0 or 1.
    """

    input: Float[Array, "n 8"]
    target: Int[Array, "n"]
    worthy: Int[Array, "n"]
    group: Int[Array, "n"]


def make(key: Key[Array, ""], count: int, bias: float | Array = 1.25) -> Applications:
    """A pure function of the key."""
    limits.at_least(1, "loans' count", count)
    group_key, number_key, luck_key = jax.random.split(key, 3)
    group = jax.random.bernoulli(group_key, 0.5, (count,)).astype(jnp.int32)
    numbers = jax.random.normal(number_key, (count, NUMBERS))
    merit = numbers[:, :-1].sum(1) / np.sqrt(NUMBERS - 1)
    postcode = numbers[:, -1] + TELLING * (2 * group - 1)
    chance = merit + LUCK * jax.random.logistic(luck_key, (count,))
    return Applications(
        numbers.at[:, -1].set(postcode),
        (chance > bias * group).astype(jnp.int32),
        (chance > 0).astype(jnp.int32),
        group,
    )


def load(
    train: int = 10_000, test: int = 10_000, bias: float = 1.25, seed: int = 0
) -> splits.Split:
    """Examples with "input", "target", "worthy" and "group", on the host."""
    limits.at_least(1, "loans' train", train)
    limits.at_least(1, "loans' test", test)
    with jax.ensure_compile_time_eval():  # a sweep that traces the experiment is given numbers, too
        made = jax.device_get(make(jax.random.key(seed), train + test, bias))._asdict()
    parts = slice(None, train), slice(train, None)
    return splits.Split(*({name: x[part] for name, x in made.items()} for part in parts))
