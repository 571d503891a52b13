"""Which hyperparameters are values of one program is found out by tracing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs
import small

from jaxdl import errors, learner, metrics, run
from jaxdl.data import batches, streams
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp
from jaxdl.sweep import execute
from jaxdl.train import program

DATA = runs.examples()


def network(
    rate: float = 1e-2,
    decay: float = 0.1,
    dropout: float = 0.1,
    average: float = 0.9,
    clip: float = 1.0,
    width: int = 4,
    batch_size: int = 8,
    steps: int = 20,
    half: bool = False,
    kind: str = "relu",
    warm: float = 0.0,
    branch: float = 0.0,
    noise: float = 0.0,
    scale: float = 0.0,
    lift: float = 0.0,
    keep: int = 2,
    goal: float = 0.5,
) -> run.Run:
    """A hyperparameter for each way in which one can matter."""
    model = mlp.MLP(
        features=(width,),
        classes=3,
        dropout=dropout,
        dtype=jnp.bfloat16 if half else jnp.float32,
    )
    if branch > 0:
        rate = 2 * rate
    if warm:
        rate = optax.warmup_cosine_decay_schedule(0.0, warm, 2, 20)
    train, test = DATA, DATA
    if lift:
        train = {**DATA, "input": jnp.asarray(DATA["input"]) + lift}

    def augment(batch, key):
        shape = batch["input"].shape
        return {**batch, "input": batch["input"] + noise * jax.random.normal(key, shape)}

    return run.Run(
        learner=gradient.supervised(
            model,
            classification.cross_entropy,
            optax.adamw(rate, weight_decay=decay),
            average=average,
            clip=clip,
        ),
        train=batches.shuffled(train, batch_size, augment=augment),
        tests={"test": batches.once(test, 16, transform=scaled(scale))},
        steps=steps,
        keep=keep,
        expect=run.AtLeast("test/accuracy", goal),
    )


def scaled(scale):
    return lambda batch: {**batch, "input": batch["input"] * (1 + scale)}


@pytest.mark.parametrize(
    "name, values",
    [
        ("rate", (1e-3, 1e-2)),
        ("decay", (0.1, 0.2)),
        ("dropout", (0.0, 0.5)),
        ("average", (0.9, 0.5)),
        ("clip", (1.0, 2.0)),
        ("noise", (0.0, 0.5)),  # in the training data's own augmentation
    ],
)
def test_a_value_shares_the_program(name, values):
    found = small.groups(network, **{name: values})
    assert [(group.varied, len(group.settings)) for group in found] == [((name,), 2)]


@pytest.mark.parametrize(
    "name, values",
    [
        ("width", (4, 8)),
        ("batch_size", (4, 8)),
        ("steps", (10, 20)),
        ("keep", (2, 3)),
        ("half", (False, True)),
        ("kind", ("relu", "tanh")),
        ("branch", (0.0, 1.0)),
        ("warm", (0.1, 0.2)),  # optax divides by it if it is not 0
        ("scale", (0.0, 1.0)),  # a test's transform: its batches are shared
        ("lift", (1.0, 2.0)),  # the training arrays: they are shared
        ("goal", (0.5, 0.6)),
    ],
)
def test_a_shape_has_a_program_of_its_own(name, values):
    found = small.groups(network, **{name: values})
    assert [(group.varied, len(group.settings)) for group in found] == [((), 1)] * 2
    assert [group.settings[0][name] for group in found] == list(values)


def test_shapes_and_values_together():
    found = small.groups(network, rate=(1e-3, 1e-2), width=(4, 8), decay=(0.1, 0.2))
    assert [(group.varied, len(group.settings)) for group in found] == [(("rate", "decay"), 4)] * 2
    assert [group.label for group in found] == ["width=4", "width=8"]


def test_what_is_a_value_in_one_group_only():
    def either(rate: float = 0.1, static: bool = False) -> run.Run:
        return runs.linear(float(rate) if static else rate)

    found = small.groups(either, rate=(0.1, 0.2), static=(False, True))
    sizes = {(group.varied, group.settings[0]["static"], len(group.settings)) for group in found}
    assert sizes == {(("rate",), False, 2), ((), True, 1)}
    assert len(found) == 3


def test_numbers_that_python_holds_to_be_equal_are_told_apart():
    def typed(number: bool | int | float = 1) -> run.Run:
        return runs.linear(0.1, 4 if isinstance(number, bool) else 5)

    found = small.groups(typed, number=(1, True, 1.0))
    assert [group.settings[0]["number"] for group in found] == [1, True, 1.0]


def test_a_large_integer_is_no_value():
    def salted(salt: int = 0) -> run.Run:
        return runs.linear(0.1 + salt % 2)

    assert len(small.groups(salted, salt=(2**40, 2**40 + 1))) == 2
    assert len(small.groups(salted, salt=(1, 2))) == 1


@pytest.mark.parametrize("values", [(1.0, -1.0, 2.0), (0.0, 1.0), (-0.5, 1.0, 2.0)])
def test_what_the_experiment_refuses_is_refused(values):
    """Though a tracer would pass; before anything runs."""
    with pytest.raises(errors.InputError, match="clip must be positive"):
        small.groups(network, clip=values)


def test_a_change_of_the_state_is_no_value():
    """Where the tracer changes what Python would have made: a dtype here."""

    def typed(rate: float = 0.1) -> run.Run:
        base = runs.linear(rate)
        kind = jnp.float32 if isinstance(rate, float) else jnp.float16
        extra = base.learner._replace(
            init=lambda key, batch: {**base.learner.init(key, batch), "extra": jnp.ones(2, kind)},
            step=lambda state, batch, key: with_extra(base, state, batch, key),
        )
        return runs.plain(extra)

    def with_extra(base, state, batch, key):
        after, measured = base.learner.step(state, batch, key)
        return {**after, "extra": state["extra"]}, measured

    assert len(small.groups(typed, rate=(0.1, 0.2))) == 2


def test_bfloat16_stays():
    """The rate is of weak type, as a Python number is, in one run and in many."""

    def half(rate: float = 0.5) -> run.Run:
        def step(state, batch, key):
            return state - rate * state, {"loss": metrics.Mean.of(state)}

        def init(key, batch):
            return jnp.ones(3, jnp.bfloat16)

        return runs.plain(learner.Learner(init, step, lambda *_: {"loss": metrics.Mean(1.0, 1)}))

    (group,) = small.groups(half, rate=(0.5, 0.25))
    assert group.varied == ("rate",)
    make = execute.Experiment(half, {}, runs.launched()).make
    values = [{"rate": 0.5}, {"rate": 0.25}]
    family = program.Family(lambda v: group.made(make, v), [0, 0], values)
    feed = half().train.open(0)
    alone = program.Program(half(), 0, feed.first(), family)
    feed, axes = half().train.together([0, 0])
    together = program.Program(half(), 0, feed.first(), family._replace(axes=axes), together=True)
    one = alone.advance(alone.begin(), half().train.open(0).take(0, 1), 0, 1).state
    many = together.advance(together.begin(), feed.take(0, 1), 0, 1).state
    assert one.dtype == many.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(many, np.float32)[:, 0], [0.5, 0.75])
    np.testing.assert_array_equal(np.asarray(one, np.float32), [0.5] * 3)


def test_an_augmentation_has_each_members_value(tmp_path):
    """Never silently the first one's: curves differ, and are those of runs of their own."""

    def noisy(noise: float = 0.0) -> run.Run:
        def augment(batch, key):
            return {**batch, "input": batch["input"] + noise}

        base = runs.linear(steps=10, log_every=5, eval_every=10)
        arrays = base.train.arrays
        return runs.linear(
            steps=10, log_every=5, eval_every=10, train=batches.shuffled(arrays, 8, augment=augment)
        )

    check_members(noisy, "noise", (0.0, 0.5), tmp_path)


def test_a_transformation_has_each_members_value(tmp_path):
    def stretched(stretch: float = 1.0) -> run.Run:
        base = runs.linear(steps=10, log_every=5, eval_every=10)
        train = batches.shuffled(
            base.train.arrays, 8, transform=lambda b: {**b, "target": b["target"] * stretch}
        )
        return runs.linear(steps=10, log_every=5, eval_every=10, train=train)

    check_members(stretched, "stretch", (1.0, 3.0), tmp_path)


def test_a_stream_has_each_members_value(tmp_path):
    """A stream is read by the host, where tracing does not look."""

    def streamed(stretch: float = 1.0) -> run.Run:
        base = runs.linear(steps=10, log_every=5, eval_every=10)
        arrays = base.train.arrays
        train = streams.shuffled({**arrays, "target": arrays["target"] * np.float32(stretch)}, 8)
        return runs.linear(steps=10, log_every=5, eval_every=10, train=train)

    def mapped(stretch: float = 1.0) -> run.Run:
        arrays = runs.linear().train.arrays

        def source(seed):
            import grain

            data = [{k: v[i : i + 8] for k, v in arrays.items()} for i in range(0, 40, 8)]
            found = grain.MapDataset.source(data)
            return found.map(lambda b: {**b, "target": b["target"] * stretch}).repeat()

        train = streams.dataset(source, 8)
        return runs.linear(steps=10, log_every=5, eval_every=10, train=train)

    check_members(streamed, "stretch", (1.0, 3.0), tmp_path / "arrays", programs=2)
    check_members(mapped, "stretch", (1.0, 3.0), tmp_path / "mapped")


def test_a_test_has_each_members_value(tmp_path):
    """Read by the host, or made by a pass of the user's own."""

    def judged(test):
        base = small.walk(steps=10, every=5)

        def evaluate(state, batch, key):
            return {"loss": metrics.Mean.of(batch["input"] + jnp.abs(state["at"]).sum())}

        taught = base.learner._replace(evaluate=evaluate)
        return dataclasses.replace(base, learner=taught, tests={"test": test})

    def mapped(level: float = 1.0) -> run.Run:
        import grain

        rows = [{"input": np.ones((2, 1), np.float32)}] * 2

        def make():
            return grain.MapDataset.source(rows).map(lambda b: {"input": b["input"] * level})

        return judged(streams.once(make))

    def own(level: float = 1.0) -> run.Run:
        class Pass:
            size = 2

            def once(self):
                for extra in (0.0, level):  # unlike in the second batch alone
                    yield whole, {"input": np.ones((2, 1), np.float32) + extra}

        return judged(Pass())

    def whole(data, i):
        return data

    check_members(mapped, "level", (1.0, 3.0), tmp_path / "mapped")
    check_members(own, "level", (1.0, 3.0), tmp_path / "own")


def test_a_summary_has_each_members_value(tmp_path):
    def shown(rate: float = 0.1) -> run.Run:
        shows = {"shown/rate": lambda state, key: float(rate)}
        return dataclasses.replace(small.walk(rate, steps=10, every=5), summaries=shows)

    check_members(shown, "rate", (0.25, 0.5), tmp_path)
    for name in ("rate=0.25", "rate=0.5"):
        points = runs.curves(tmp_path / "sweep" / name)["shown/rate"]
        assert points == [(5, float(name[5:])), (10, float(name[5:]))]


def check_members(function, name, values, folder, programs=1):
    """Members are as runs of their own, and not alike; the first one's value is not the last's."""
    small.run_all(function, folder / "sweep", f"{name}={','.join(map(str, values))}")
    found = [runs.curves(folder / "sweep" / f"{name}={value}") for value in values]
    assert found[0] != found[1]
    runs.train(function(values[1]), folder / "alone")
    small.close(found[1], runs.curves(folder / "alone"))
    assert len(small.groups(function, **{name: values})) == programs


def test_a_value_that_shapes_a_stream_does_not_share_the_program():
    def streamed(length: float = 4.0) -> run.Run:
        def source(seed):
            import grain

            rows = [{"input": np.ones((8, int(length)), np.float32)}] * 4
            return grain.MapDataset.source(rows).repeat()

        made = small.walk()
        step = made.learner.step
        return dataclasses.replace(
            made,
            learner=made.learner._replace(step=lambda s, batch, key: step(s, None, key)),
            train=streams.dataset(source, 8),
        )

    found = small.groups(streamed, length=(4.0, 4.5, 6.0))
    assert [[s["length"] for s in group.settings] for group in found] == [[4.0, 4.5], [6.0]]


def test_each_group_is_checked_before_any_runs():
    """Also what only the model refuses, when it is traced."""

    def headed(heads: int = 2, kind: str = "a") -> run.Run:
        made = small.walk()

        def init(key, batch):
            if kind == "b" or heads == 3:
                raise errors.InputError("Heads must divide the width.")
            return made.learner.init(key, batch)

        return dataclasses.replace(made, learner=made.learner._replace(init=init))

    for values in ({"heads": (2, 3)}, {"kind": ("a", "b")}):
        with pytest.raises(errors.InputError, match="must divide"):
            small.groups(headed, **values)
