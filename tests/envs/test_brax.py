"""The adapter to brax: it says what to install; installed, it is an environment like others."""

import sys

import jax
import jax.numpy as jnp
import pytest

from jaxdl import errors
from jaxdl.envs import brax, environment

KEY = jax.random.key(0)


def test_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "brax.envs", None)
    with pytest.raises(errors.MissingError, match='pip install "brax"'):
        brax.make("ant")


@pytest.mark.filterwarnings("ignore")  # of what it imports
def test_the_double_pendulum_falls():
    pytest.importorskip("brax")
    made = brax.make("inverted_double_pendulum", limit=50)
    assert (made.observation.shape, made.action.shape, made.limit) == ((8,), (1,), 50)
    step = jax.jit(lambda *arguments: environment.advance(made, *arguments))
    episode = environment.begin(made, KEY)
    for _ in range(50):
        episode, outcome = step(episode, jnp.ones(1), episode, KEY)
        if outcome.ended:
            break
    assert outcome.terminated and int(outcome.length) < 50
    assert 8 < float(outcome.total) / int(outcome.length) < 10
