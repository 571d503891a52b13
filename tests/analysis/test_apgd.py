"""Auto-PGD against ART's (tests/fixtures/make_perturbation.py) and by hand."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl.analysis import apgd
from jaxdl.models import mlp
from jaxdl.nn import perturbation

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "perturbation.npz")
MODEL = mlp.MLP(features=(16,), classes=3, act="tanh")
PARAMS = {
    layer: {leaf: jnp.asarray(FIXTURE[f"{layer}/{leaf}"]) for leaf in ("kernel", "bias")}
    for layer in ("hidden_0", "output")
}
X, SAID = jnp.asarray(FIXTURE["input"]), jnp.asarray(FIXTURE["said"])
BALLS = {"linf": 0.15, "l2": 0.3}
LOSSES = {
    "cross_entropy": optax.softmax_cross_entropy_with_integer_labels,
    "difference_logits_ratio": apgd.ratio,
}


def logits(x):
    return MODEL.apply({"params": PARAMS}, x)


def own(x):
    """The logit of the class that the network says of the unmoved input."""
    return jnp.take_along_axis(logits(x), SAID[:, None], 1)


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("loss", LOSSES)
def test_it_goes_where_arts_does(norm, loss):
    """To the first checkpoint; after it ART counts new maxima where the paper counts rises."""
    visited = []

    def judge(x):
        jax.debug.callback(lambda x: visited.append(np.asarray(x)), x, ordered=True)
        out = logits(x)
        return LOSSES[loss](out, SAID), out.argmax(-1) != SAID

    low, high = (0.0, 1.0) if norm == "linf" else (-9.0, 9.0)  # see the fixture's script
    found = apgd.ascended(judge, X, X, BALLS[norm], 50, low, high, norm)
    jax.effects_barrier()
    wanted = jnp.asarray(FIXTURE[f"auto_{norm}_{loss}"])
    assert len(visited) == 51 and apgd.checkpoints(50)[0] == len(wanted) - 1
    # Where the class is third, the ratio is 1 all around: its slope is of rounding alone.
    third = (jax.vmap(logits)(wanted) >= jax.vmap(own)(wanted)).sum(-1) == 3
    known = ~np.asarray(third).cumsum(0).astype(bool)[:-1] | (loss == "cross_entropy")
    assert known.mean() > 0.5
    np.testing.assert_allclose(np.array(visited[1:12])[known], wanted[1:][known], atol=5e-6)
    # Then it is no weaker: as many are deceived, and of the others the loss is no smaller.
    theirs, ours = logits(jnp.asarray(FIXTURE[f"auto_{norm}_{loss}_end"])), logits(found)
    assert (ours.argmax(-1) != SAID).sum() >= (theirs.argmax(-1) != SAID).sum() > 0
    still = np.asarray(ours.argmax(-1) == SAID)
    gained = LOSSES[loss](ours, SAID) - LOSSES[loss](theirs, SAID)
    assert still.any() and (np.asarray(gained)[still] > -1e-4).all()


def test_halved_steps_find_a_maximum_that_whole_ones_pass_by():
    """The largest value of -|x - c|² in the ball is at c, which lies inside."""
    random = np.random.default_rng(0)
    x = jnp.full((5, 3), 0.5)
    top = x + jnp.asarray(random.uniform(-0.1, 0.1, (5, 3)), jnp.float32)

    def judge(z):
        return -jnp.square(z - top).sum(-1), jnp.zeros(5, bool)

    found = apgd.ascended(judge, x, x, 0.2, 60)
    passed = perturbation.descended(lambda z: judge(z)[0].sum(), x, x, 0.2, 2.5 * 0.2 / 10, 60)
    assert np.abs(found - top).max() < 5e-3 < np.abs(passed - top).max()


def test_what_deceives_is_kept_where_the_loss_is_larger_elsewhere():
    """Along a line the loss rises to the end, and only a band on the way deceives."""
    x = jnp.full((1, 1), 0.5)

    def judge(z):
        return z[:, 0], (z[:, 0] > 0.55) & (z[:, 0] < 0.65)

    start = x - 0.02  # a first move by 0.1 goes from 0.48 to 0.58, and on
    found = apgd.ascended(judge, x, start, 0.2, 20)
    assert judge(apgd.ascended(lambda z: (z[:, 0], z[:, 0] < 0), x, start, 0.2, 20))[0] > 0.69
    assert found[0, 0] > 0.69  # steps of 0.4 jump over the band
    found = apgd.ascended(lambda z: (z[:, 0], z[:, 0] < 0.49), x, start, 0.2, 20)
    np.testing.assert_allclose(found, start)


def test_checkpoints_are_the_papers():
    """Of 100: 22, then 19, 16, 13, 10, 7 and 6 further on."""
    assert apgd.checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert apgd.checkpoints(1) == [1]


def test_the_ratio_by_hand():
    out = jnp.asarray([[4.0, 1.0, 2.0, 0.0], [1.0, 4.0, 2.0, 0.0]])
    target = jnp.asarray([0, 0])
    np.testing.assert_allclose(apgd.margin(out, target), [2, -3])
    # Right: -(4 - 2) / (4 - 1); wrong: -(1 - 4) / (4 - 1).
    np.testing.assert_allclose(apgd.ratio(out, target), [-2 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(apgd.ratio(100 * out, target), [-2 / 3, 1], rtol=1e-6)
    # To be taken for the last: -(4 - 0) / (4 - (1 + 0) / 2), -(1 - 0) / (4 - (1 + 0) / 2).
    wanted = jnp.asarray([3, 3])
    found = apgd.ratio(out, target, wanted)
    np.testing.assert_allclose(found, [-4 / 3.5, -1 / 3.5], rtol=1e-6)
