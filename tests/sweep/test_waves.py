"""Members that share memory and devices: waves of as many as fit, or each on a device by itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import small

from jaxdl import learner, metrics, run
from jaxdl.data import batches
from jaxdl.sweep import campaign, execute, race
from jaxdl.train import program, simulate


def test_waves(tmp_path, monkeypatch, capsys):
    """What does not fit into memory runs in waves, of one program, to the same end."""
    rates = "rate=0.01,0.02,0.05,0.1,0.2"
    small.run_all(small.walk, tmp_path / "whole", rates, seeds=2)
    monkeypatch.setattr(race, "SHORT", 0)
    made = small.made(small.walk, tmp_path / "first", [rates], seeds=2)
    first = made.experiment.make({})
    ways = []

    class Program(program.Program):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            ways.append(self.members)

    monkeypatch.setattr(program, "Program", Program)
    # Room for four of the ten.
    (group,) = small.groups(small.walk, rate=[0.01, 0.02])
    family = program.Family(
        lambda v: group.made(made.experiment.make, v), [0] * 10, [{"rate": 0.1}] * 10
    )
    shared, feed = execute.joined(first, family, 10)
    on_each = shared.memory(feed.take(0, 10)) + race._bytes(shared.shape.state) // 2
    needed = 2 * on_each  # the two devices of a CPU share its memory
    monkeypatch.setattr(race, "free_memory", lambda: 4.5 * needed / 10 / race.SHARE)
    monkeypatch.setattr(race, "_seconds", lambda timed, feed: 1.0)
    ways.clear()
    outcome = campaign.run_all(made)
    assert "in waves of 4, as memory allows" in capsys.readouterr().out
    assert ways == [10, 4, None]  # looked at, run, and raced against
    assert [member.status for member in outcome.members] == ["completed"] * 10
    found, wanted = small.curves(tmp_path / "first"), small.curves(tmp_path / "whole")
    for name in wanted:
        small.close(found[name], wanted[name])
    assert sorted(p.name for p in (tmp_path / "first/groups/0.0").iterdir()) == [
        *"012",
        "decision.json",
    ]


@pytest.mark.parametrize(
    "room, wave, short", [(1.5, 1, True), (3.5, 2, False), (7.5, 6, True), (12.5, 10, False)]
)
def test_a_wave_takes_no_more_than_there_is(room, wave, short, monkeypatch):
    """Of two devices; whatever takes most, training or the evaluation of many examples."""
    for rows, examples in ((4000, 8), (8, 4000)):
        ways = ways_of(wide(rows, examples))
        shared, feed = ways.together(10)
        needed = taken(shared, feed)
        monkeypatch.setattr(race, "free_memory", lambda full=needed: room * full / 10 / race.SHARE)
        monkeypatch.setattr(race, "SHORT", 1e9 if short else 0)
        monkeypatch.setattr(race, "_seconds", lambda timed, feed: 1.0)
        decision, program = race.decide(shared.run, 10, ways)
        assert (decision.together, decision.wave) == (True, wave)
        assert ("too short" in decision.why) == short
        alone = program.mesh is None or program.mesh.size == 1
        assert alone == (wave == 1)
        assert taken(*ways.together(wave)) <= room * needed / 10 * 1.05


def wide(rows, examples):
    """A run whose activations are larger than its state."""
    data = {"input": np.zeros((4000, 8), np.float32)}

    def loss(state, batch):
        return metrics.Mean.of(jnp.tanh(batch["input"] @ state) @ jnp.ones(64))

    def step(state, batch, key):
        slope = jax.grad(lambda weights: loss(weights, batch).total)(state)
        return state - 0.1 * slope, {"loss": loss(state, batch)}

    taught = learner.Learner(
        lambda key, batch: jnp.ones((8, 64)), step, lambda s, b, k: {"loss": loss(s, b)}
    )
    source, test = batches.shuffled(data, rows), batches.once(data, examples)
    return run.Run(learner=taught, train=source, tests={"test": test}, steps=4)


def ways_of(what, members=10):
    """The ways of members that are all alike."""
    family = program.Family(lambda values: what, [0] * members, [{}] * members)
    return race.Ways(
        lambda: execute._alone(what, family),
        lambda size: execute.joined(what, family, size),
        execute.shards(what),
    )


def taken(shared, feed):
    """The memory that a wave takes on all devices."""
    select, data = next(iter(shared.run.tests["test"].once()))
    most = max(shared.memory(feed.take(0, 1)), shared.examining_memory(select, data))
    devices = 1 if shared.mesh is None else shared.mesh.size
    return devices * most + race._bytes(shared.shape.state)


def test_alone_a_member_is_as_without_the_mesh_of_members():
    solo, _ = ways_of(dataclasses.replace(small.linear(), mesh={"member": 2})).alone()
    assert solo.mesh is None


def test_what_cannot_run_on_all_devices_alone_runs_together(monkeypatch):
    monkeypatch.setenv(simulate.ALL_DEVICES, "1")
    monkeypatch.setattr(race, "SHORT", 0)
    source = batches.shuffled(runs.linear().train.arrays, 5)
    what = dataclasses.replace(small.linear(), train=source)
    decision, shared = race.decide(what, 4, ways_of(what, 4))
    assert (decision.together, decision.wave) == (True, 4)
    assert decision.why.startswith("The batch size must be a multiple of data × fsdp, 2 devices")
    assert shared.members == 4
