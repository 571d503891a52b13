"""What every learner promises: pure functions that jit, vmap, chunk, shard, save and resume."""

import copy
import dataclasses
import json

import catalogue
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs

from jaxdl import metrics, run
from jaxdl.data import batches
from jaxdl.train import checkpoint, dispatch, program

STEPS, CHUNK = 4, 2
LEARNERS = catalogue.learners()
TOGETHER = [tuple(LEARNERS)[i : i + 6] for i in range(0, len(LEARNERS), 6)]  # of a process

# One device against two. XLA:CPU has hung in collectives, so this runs where it can be ended.
SHARDED = """
    import json
    import test_contract
    for name in json.loads(sys.argv[1]):
        print(json.dumps([name, test_contract.one_against_two(name)]), flush=True)
"""


def compiled(name, strategy="auto"):
    """The programs of one row, with the source they take batches from."""
    case = LEARNERS[name]
    what = run.Run(
        learner=case.learner(),
        train=case.train(),
        steps=STEPS,
        log_every=STEPS,
        eval_every=STEPS,
        strategy=strategy,
        chunk=CHUNK,
    )
    feed = batches.opened(what.train, 0)
    return program.Program(what, 0, feed.first()), feed


def keyed(made, key):
    """The same compiled programs, with another key to begin and to step with."""
    other = copy.copy(made)
    other.who = program.Who(key, {})
    return other


def _batch(made, feed, step):
    """A training batch, None where there are none."""
    source = made.run.train
    return None if source is None else source.select(feed.take(step, 1), 0)


def stepped(made, feed, carry, sizes):
    """Chunks of these sizes, one after another."""
    at = 0
    for count in sizes:
        carry = made.advance(carry, feed.take(at, count), at, count)
        at += count
    return carry


@pytest.fixture(scope="module", params=LEARNERS)
def case(request):
    """Name, programs that run single steps, their feed, a batch, and the state after 4 steps."""
    made, feed = compiled(request.param, "single")
    batch = _batch(made, feed, 0)
    return request.param, made, feed, batch, stepped(made, feed, made.begin(), [1] * STEPS)


def close(found, wanted, tolerance):
    """Equal trees, but for rounding: relative to the size of each leaf."""
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * (1 + np.abs(y).max()))


def _examined(name, batch):
    """What an evaluation is given."""
    test = LEARNERS[name].test
    return batch if test is None else test()


def shapes(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype), tree)


def test_the_same_key_gives_the_same_bits(case):
    name, made, feed, _, after = case
    again = stepped(made, feed, made.begin(), [1] * STEPS)
    assert runs.bits(again) == runs.bits(after)
    other = keyed(made, jax.random.key(1)).begin()
    assert (runs.bits(other) != runs.bits(made.begin())) == LEARNERS[name].drawn


def test_the_state_keeps_its_shapes_and_learns(case):
    _, made, _, _, after = case
    assert shapes(after) == shapes(made.shape)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(after))
    assert runs.bits(after.state) != runs.bits(made.begin().state)
    assert np.isfinite(list(metrics.values(jax.device_get(after.totals)).values())).all()


def test_evaluation_and_prediction(case):
    name, made, _, batch, after = case
    taught, batch = made.run.learner, _examined(name, batch)
    keys = jax.random.key(0), jax.random.key(int(not LEARNERS[name].random))
    once, again = (jax.jit(taught.evaluate)(after.state, batch, key) for key in keys)
    assert runs.bits(once) == runs.bits(again)  # no dropout in an evaluation
    assert np.isfinite(list(metrics.values(jax.device_get(once)).values())).all()
    if taught.predict is not None:
        outputs = jax.eval_shape(taught.predict, after.state, batch)
        assert len(jax.tree.leaves(outputs)[0]) == len(jax.tree.leaves(batch)[0])


def test_vmap_over_keys_is_each_by_itself(case):
    name, made, feed, batch, _ = case
    batch = _examined(name, batch)
    evaluate, data = made.run.learner.evaluate, feed.take(0, 1)

    def whole(key):
        who = program.Who(key, {})
        state, measured = made.one_step(made.init(who, data), who, data, 0, 0)
        return program.Carry(state, measured), evaluate(state, batch, key)

    keys = jax.random.split(jax.random.key(5), 2)
    together = jax.jit(jax.vmap(whole))(keys)
    for i, key in enumerate(keys):
        one = keyed(made, key)
        alone = one.advance(one.begin(), data, 0, 1)
        examined = jax.jit(evaluate)(alone.state, batch, key)
        found = jax.tree.map(lambda x, i=i: x[i], together)
        close(found, (alone, examined), LEARNERS[name].tolerance)


@pytest.mark.parametrize("strategy", ["rolled", "unrolled"])
def test_a_chunk_is_its_single_steps(case, strategy):
    name, _, _, _, after = case
    made, feed = compiled(name, strategy)
    assert made.layout == (strategy, CHUNK)
    found = stepped(made, feed, made.begin(), [CHUNK] * (STEPS // CHUNK))
    if strategy == "rolled" and LEARNERS[name].exact:
        assert runs.bits(found) == runs.bits(after)
    else:
        close(found, after, 10 * LEARNERS[name].tolerance)


def test_the_loop_chooses_a_layout_that_is_exact(case):
    name, made, _, _, _ = case
    what = dataclasses.replace(made.run, strategy="auto")
    chosen = dispatch.layout(what, made.cost, "cpu")
    exact = LEARNERS[name].exact
    assert chosen == (("rolled", CHUNK) if exact else ("single", 1))


def test_saved_and_restored_it_goes_on_with_the_same_bits(case, tmp_path):
    _, made, feed, _, after = case
    half = STEPS // 2
    carry = stepped(made, feed, made.begin(), [1] * half)
    with checkpoint.Checkpoints(tmp_path) as saved:
        saved.save(half, carry, {})
        restored = saved.restore(made.shape, pytest.fail)
    carry = restored.tree
    for step in range(half, STEPS):
        carry = made.advance(carry, feed.take(step, 1), step, 1)
    assert runs.bits(carry) == runs.bits(after)


def one_against_two(name):
    """None where two devices that share a batch take the steps of one; else what differs."""
    devices = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    whole = jax.NamedSharding(devices, jax.P())
    split = jax.NamedSharding(devices, jax.P("data"))
    made, feed = compiled(name, "single")
    step = made.run.learner.step
    carry = made.begin()
    shared = jax.device_put(jax.tree.map(jnp.copy, carry.state), whole)  # the carry is donated
    share = jax.jit(step, in_shardings=(whole, split, whole), out_shardings=whole)
    for i in range(2):
        carry = program.Carry(carry.state, made.zeros())
        carry = made.advance(carry, feed.take(i, 1), i, 1)
        batch = jax.device_put(_batch(made, feed, i), split)
        key = jax.random.fold_in(jax.random.fold_in(made.who.key, 2), i)  # as the program has it
        shared, summed = share(shared, batch, jax.device_put(key, whole))
        try:
            close((shared, summed), tuple(carry), LEARNERS[name].tolerance)
        except AssertionError as error:
            return str(error)
    return None


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: names[0])
def test_two_devices_take_the_steps_of_one(names):
    process = runs.child(SHARDED, json.dumps(names))
    try:
        output, complaints = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, complaints
    found = dict(json.loads(line) for line in output.splitlines())
    assert found == dict.fromkeys(names)


def test_jnp_is_strict_about_ranks_and_two_devices_are_there():
    assert jax.config.jax_numpy_rank_promotion == "raise"
    assert jax.device_count() == 2
    with pytest.raises(ValueError, match="rank"):
        jnp.ones(2) + jnp.ones((1, 2))
