"""Who goes on from where in a population: what NumPy and the papers' arithmetic say."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.train import population, program

PRIORS = {"rate": (0.01, 0.05, 1.0), "decay": (0.1, 0.2)}
RATES = np.array([0.1, 0.9, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.011], np.float32)


def evolved(scores, members=10, step=3, seed=0):
    """The carry numbers its members; values as of `RATES` and a decay in its middle."""
    count = len(scores)
    values = {"rate": jnp.asarray(RATES[:count]), "decay": jnp.full(count, 0.15)}
    keys = jax.random.split(jax.random.key(7), count)
    carry = {"number": jnp.arange(count), "table": jnp.ones((count, 2)), "key": keys}
    who = program.Who(jax.random.split(jax.random.key(seed), count), values)
    evolve = jax.jit(population.exploit(PRIORS, members))
    carry, values, parents = evolve(np.float32(scores), carry, who, np.uint32(step))
    np.testing.assert_array_equal(carry["number"], parents)
    np.testing.assert_array_equal(
        jax.random.key_data(carry["key"]), jax.random.key_data(keys)[parents]
    )
    return {name: np.asarray(x) for name, x in values.items()}, np.asarray(parents)


def test_the_worst_fifth_goes_on_from_the_best_fifth():
    scores = [5, 9, 1, 7, 6, 8, 2, 3, 4, 0]  # the best are 1 and 5, the worst 9 and 2
    drawn = [evolved(scores, step=step, seed=step % 3) for step in range(60)]
    seen, factors, decays = (collections.Counter() for _ in range(3))
    for values, parents in drawn:
        for i in set(range(10)) - {2, 9}:
            assert parents[i] == i and values["rate"][i] == RATES[i]
            assert values["decay"][i] == np.float32(0.15)
        for i in (2, 9):
            seen[i, parents[i]] += 1
            ratio = values["rate"][i] / RATES[parents[i]]
            factors[round(float(ratio), 4)] += 1
            decays[round(float(values["decay"][i]), 5)] += 1
    assert seen.keys() == {(2, 1), (2, 5), (9, 1), (9, 5)}
    # 0.9 times 1.2 is beyond the highest rate, 1; the other numbers are drawn anew.
    anew = {round(drawn / float(rate), 4) for drawn in (0.01, 0.05, 1.0) for rate in RATES[[1, 5]]}
    assert factors.keys() == {0.8, 1.2} | anew
    assert min(*seen.values(), factors[0.8], factors[1.2]) >= 10
    # A quarter is drawn anew, and of those one number as often as the other: 30 of 120.
    assert decays.keys() == {0.1, 0.12, 0.18, 0.2} and decays[0.12] + decays[0.18] >= 75
    assert min(decays[0.1], decays[0.2]) >= 6


def test_a_member_that_failed_is_replaced_and_nobodys_parent():
    scores = [5, 9, 1, 7, *[-np.inf] * 6]
    _, parents = evolved(scores)
    assert parents[:4].tolist() == [0, 1, 2, 3] and set(parents[4:]) <= {1, 3}
    scores = [5, *[-np.inf] * 9]
    assert evolved(scores)[1].tolist() == [0] * 10
    assert evolved([-np.inf] * 10)[1].tolist() == list(range(10))


def test_those_who_only_fill_up_the_shape_are_left_alone():
    scores = [5, 9, 1, 7, 6, 8, -np.inf, -np.inf]
    values, parents = evolved(scores, members=6)
    assert parents.tolist() == [0, 1, 1, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(values["rate"][6:], RATES[6:8])


@pytest.mark.parametrize(
    "members, steps, every, wanted",
    [
        (8, 700, 100, [(100, 4), (300, 2), (700, 1)]),
        (8, 700, 1, [(100, 4), (300, 2), (700, 1)]),
        (5, 700, 100, [(100, 3), (300, 2), (700, 1)]),
        (2, 700, 100, [(700, 1)]),
        (16, 1500, 500, [(500, 2), (1500, 1)]),  # at 100, 300 and 700 is none
        (4, 100, 100, [(100, 1)]),
    ],
)
def test_rungs(members, steps, every, wanted):
    assert population.rungs(members, steps, every) == [population.Rung(*one) for one in wanted]


def test_each_rung_costs_as_much():
    """Jamieson and Talwalkar 2016, algorithm 1: the budget is shared out evenly over the rungs."""
    found = population.rungs(64, 6300, 1)
    alive, begun, costs = 64, 0, []
    for rung in found:
        costs.append(alive * (rung.until - begun))
        alive, begun = rung.keep, rung.until
    assert costs == [6400] * 6
