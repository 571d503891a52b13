"""Runs of a sweep, together and one after another: as if each had been launched by itself."""

import collections
import dataclasses
import json
import logging
import os
import random
import signal
import time

import jax
import numpy as np
import pytest
import runs
import small

from jaxdl import errors
from jaxdl.data import batches
from jaxdl.sweep import execute, plan, race
from jaxdl.train import loop, program, states, stop

RATES = (0.05, 0.1, 0.2)
WAYS = pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])


@pytest.fixture
def way(monkeypatch):
    def choose(together, wave=100):
        monkeypatch.setattr(race, "decide", small.forced(together, wave))

    return choose


def swept(function, folder, values=RATES, **asked):
    return small.run_all(function, folder, f"rate={','.join(map(str, values))}", **asked)


def alone(function, folder, values=RATES, seeds=(0,)):
    """Each setting as a run of its own, by name."""
    found = {}
    for value in values:
        for seed in seeds:
            name = f"rate={value}" + (f",seed={seed}" if len(seeds) > 1 else "")
            found[name] = runs.train(function(value), folder / name, seed)
    return found


@WAYS
@pytest.mark.parametrize("function", [small.walk, small.linear], ids=["walk", "linear"])
def test_a_member_is_as_a_run_of_its_own(together, function, tmp_path, way):
    way(together)
    outcome = swept(function, tmp_path / "sweep", RATES[:2], seeds=2)
    wanted = alone(function, tmp_path / "alone", RATES[:2], (0, 1))
    found = small.curves(tmp_path / "sweep")
    assert found.keys() == wanted.keys()
    for name, result in wanted.items():
        if together:
            small.close(found[name], runs.history(result))
        else:
            assert found[name] == runs.history(result)
        check_state(tmp_path / "sweep" / name, function(0.1), result, together)
    assert [member.status for member in outcome.members] == ["completed"] * 4


def check_state(folder, run, result, together):
    """The best state in a member's folder is the one in the folder of a run of its own."""
    feed = batches.opened(run.train, 0)
    shape = program.Program(run, 0, feed.first()).shape
    one, two = states.best(folder, shape), states.best(result.folder, shape)
    assert one.step == two.step == result.best[0]
    if not together:
        assert runs.bits(numbers(one.state)) == runs.bits(numbers(two.state))
    for mine, own in zip(*map(jax.tree.leaves, map(numbers, (one.state, two.state))), strict=True):
        np.testing.assert_allclose(mine, own, rtol=1e-4, atol=1e-4)


def numbers(state):
    """A state with its random keys as numbers."""
    leaves, structure = jax.tree.flatten(state)
    plain = [x if not is_key(x) else jax.random.key_data(x) for x in leaves]
    return jax.tree.unflatten(structure, jax.device_get(plain))


def is_key(x):
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


@WAYS
def test_a_group_is_compiled_once_whatever_its_size(together, tmp_path, way, caplog):
    way(together)
    found = []
    for count in (2, 6):
        jax.clear_caches()
        caplog.clear()
        values = [0.01 * (i + 1) for i in range(count)]
        with jax.log_compiles(), caplog.at_level(logging.WARNING):
            swept(shown, tmp_path / str(count), values)
        texts = [line.getMessage() for line in caplog.records]
        names = [text.split()[1] for text in texts if text.startswith("Compiling ")]
        found.append(collections.Counter(names))
    assert found[0] == found[1]
    assert found[0]["jit(_examine_one)"] == 1
    assert found[0]["jit(_chunk)"] == 1


def shown(rate: float = 0.1) -> object:
    """With a summary, which is each member's own."""
    made = small.walk(rate)
    return dataclasses.replace(made, summaries={"shown/rate": lambda s, k: float(rate)})


def test_a_race_compiles_each_way_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(race, "SHORT", 0)  # no group is too short for it
    found = []
    for count in (2, 6):
        jax.clear_caches()
        caplog.clear()
        made = small.made(small.walk, tmp_path / str(count), [f"rate={','.join(rates(count))}"])
        (group,) = small.groups(small.walk, rate=list(map(float, rates(count))))
        members = execute.members(made.experiment, group.settings, [0], made.folder)
        with jax.log_compiles(), caplog.at_level(logging.WARNING), stop.Catcher() as stopping:
            done = execute.run(
                made.experiment,
                group,
                members,
                made.folder / "group",
                None,
                told,
                True,
                stopping,
            )
        assert done and all(member.status == "completed" for member in members)
        texts = [line.getMessage() for line in caplog.records]
        found.append(sum(text.startswith("Compiling jit(_chunk)") for text in texts))
    assert found == [2, 2]


def told(line, style=""):
    assert "a step and run together" in line


def rates(count):
    return [str(round(0.01 * (i + 1), 2)) for i in range(count)]


@WAYS
@pytest.mark.parametrize("fault", ["harm", "hidden"])
def test_a_member_that_is_not_finite_fails_alone(together, fault, tmp_path, way):
    """`hidden` is in the state alone, and in what had been the best one: metrics are finite."""
    way(together)
    sound = small.run_all(small.walk, tmp_path / "sound", f"{fault}=0.0", seeds=2)
    outcome = small.run_all(small.walk, tmp_path / "sweep", f"{fault}=0.0,1.0", seeds=2)
    assert outcome.status == "completed"
    assert [m.status for m in outcome.members] == ["completed"] * 2 + ["failed"] * 2
    for seed in (0, 1):
        name = f"{fault}=0.0,seed={seed}"
        wanted = runs.curves(tmp_path / "sound" / name)
        small.close(runs.curves(tmp_path / "sweep" / name), wanted)
        record = json.loads((tmp_path / "sweep" / f"{fault}=1.0,seed={seed}/run.json").read_text())
        assert record["result"]["status"] == "failed"
        reason = record["result"]["message"]
        if fault == "hidden":
            assert "NaN" in reason and "state" in reason
        else:
            assert "finite" in reason
        assert record["result"]["step"] == 20 if together else record["result"]["step"] >= 16
    rows = small.table(tmp_path / "sweep")
    assert [row["status"] for row in rows.values()] == ["completed"] * 2 + ["failed"] * 2
    assert len(sound.members) == 2
    # What has failed is not run again.
    before = small.curves(tmp_path / "sweep")
    again = small.run_all(small.walk, tmp_path / "sweep", f"{fault}=0.0,1.0", seeds=2)
    assert [m.status for m in again.members] == [m.status for m in outcome.members]
    assert small.curves(tmp_path / "sweep") == before


def test_all_members_fail(tmp_path, way):
    way(True)
    outcome = small.run_all(small.walk, tmp_path / "sweep", "harm=1.0", seeds=2)
    assert [m.status for m in outcome.members] == ["failed"] * 2


def test_patience_ends_members_at_different_steps(tmp_path, way):
    way(True)

    def patient(rate: float = 0.1) -> object:
        return small.walk(rate, steps=100, patience=2)

    values = (0.01, 0.1, 0.4)
    outcome = swept(patient, tmp_path / "sweep", values)
    wanted = alone(patient, tmp_path / "alone", values)
    assert len({result.step for result in wanted.values()}) > 1
    for member, (name, result) in zip(outcome.members, wanted.items(), strict=True):
        assert (member.status, member.step) == (result.status, result.step), name
        assert member.best[0] == result.best[0]
        small.close(runs.curves(member.folder), runs.history(result))


def test_members_are_shared_out_among_devices(tmp_path, way, monkeypatch):
    seen = []
    advance = program.Program.advance

    def advancing(self, carry, *rest):
        seen.append((self.members, carry.state["at"].sharding))
        return advance(self, carry, *rest)

    monkeypatch.setattr(program.Program, "advance", advancing)
    monkeypatch.setattr(race, "decide", race.decide)
    swept(small.walk, tmp_path / "plain", mesh={"member": 1})
    assert {len(where.device_set) for _, where in seen} == {1}
    seen.clear()
    swept(small.walk, tmp_path / "mesh", mesh={"member": 2})
    assert {members for members, _ in seen} == {4}  # three, and one to fill up
    for _, where in seen:
        assert where.spec == jax.P("member") and len(where.device_set) == 2
    found, wanted = small.curves(tmp_path / "mesh"), small.curves(tmp_path / "plain")
    for name in wanted:
        small.close(found[name], wanted[name])


def test_a_failure_among_devices(tmp_path):
    outcome = small.run_all(
        small.walk, tmp_path / "sweep", "hidden=0.0,1.0", seeds=2, mesh={"member": 2}
    )
    assert [m.status for m in outcome.members] == ["completed"] * 2 + ["failed"] * 2


def test_members_go_on_on_other_devices(tmp_path, monkeypatch):
    """Three begun on one device go on where there are two, which do not divide them."""
    swept(small.walk, tmp_path / "whole")
    monkeypatch.setattr(loop.stop, "Catcher", lambda: runs.StopAfter(2))
    assert swept(small.walk, tmp_path / "sweep").status == "stopped"
    monkeypatch.undo()
    assert swept(small.walk, tmp_path / "sweep", mesh={"member": 2}).status == "completed"
    found, wanted = small.curves(tmp_path / "sweep"), small.curves(tmp_path / "whole")
    for name in wanted:
        small.close(found[name], wanted[name])


KILLED = """
    import pathlib
    sys.path.insert(0, str(runs.TESTS / "sweep"))
    import small
    from jaxdl.sweep import race
    race.decide = small.forced(sys.argv[2] == "True")
    print("begun", flush=True)
    small.run_all(small.long, pathlib.Path(sys.argv[1]), "rate=0.05,0.1,0.2", seeds=2)
"""


@WAYS
def test_killed_at_any_moment(together, tmp_path, way, monkeypatch):
    way(together)
    swept(small.long, tmp_path / "whole", seeds=2)
    folder, moments = tmp_path / "sweep", random.Random(7)
    for _ in range(2):
        before = done(folder, together)
        process = runs.child(KILLED, folder, together)
        assert process.stdout.readline() == "begun\n", process.stderr.read()
        while done(folder, together) < before + 2 and process.poll() is None:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        _, complaints = process.communicate(timeout=60)
        assert "Traceback" not in complaints, complaints
        assert process.returncode == -9, "the sweep had ended by then"
    finished = {name for name in small.curves(folder) if ended(folder / name)}
    begun = []
    train = loop.train
    monkeypatch.setattr(
        loop, "train", lambda run, own, *a, **k: begun.append(own.name) or train(run, own, *a, **k)
    )
    outcome = swept(small.long, folder, seeds=2)
    assert [member.status for member in outcome.members] == ["completed"] * 6
    if not together:
        assert finished and begun and not finished.intersection(begun)
    assert small.curves(folder) == small.curves(tmp_path / "whole")
    assert small.table(folder) == small.table(tmp_path / "whole")


def done(folder, together):
    """How far a sweep has come: the step of the newest checkpoint, or how many have ended."""
    if not together:
        return sum(1 for path in folder.glob("rate*") if ended(path))
    found = [path.name for path in folder.glob("groups/*/*/checkpoints/*")]
    return max([int(name) // 100 for name in found if name.isdecimal()], default=0)


def ended(folder):
    path = folder / "run.json"
    return path.exists() and (json.loads(path.read_text())["result"] or {}).get("status")


def test_a_signal_between_groups_is_obeyed_at_once(tmp_path, monkeypatch):
    """Before the next one is planned, raced or compiled."""
    planned = plan.groups

    def planning(*given):
        os.kill(os.getpid(), signal.SIGTERM)
        return planned(*given)

    monkeypatch.setattr(race, "decide", None)
    monkeypatch.setattr(plan, "groups", planning)
    assert small.run_all(small.walk, tmp_path / "one", "size=3,4").status == "stopped"
    monkeypatch.setattr(plan, "groups", None)
    with stop.Catcher():
        os.kill(os.getpid(), signal.SIGTERM)
        assert small.run_all(small.walk, tmp_path / "two", "size=3,4").status == "stopped"


def test_a_member_in_a_folder_of_something_else(tmp_path, way):
    way(False)
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "letter.txt").write_text("Dear")
    with pytest.raises(errors.InputError, match="must be empty or hold a run"):
        swept(small.walk, tmp_path / "sweep")
