"""Sweeps whose members learn from one another: trained, stopped, gone on with, refused."""

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import small
import test_campaign
import test_ensemble

from jaxdl import compare, metrics, trained
from jaxdl.sweep import campaign, execute, populate, report, space
from jaxdl.train import loop, record, states

launched, toy = test_campaign.launched, test_campaign.toy

RATES = (0.001, 0.002, 0.03, 0.05, 0.08)
KINDS = pytest.mark.parametrize("kind", ["pbt", "halving"])


def swept(folder, kind, function=small.walk, values=RATES, **asked):
    given = f"rate={','.join(map(str, values))}"
    return small.run_all(function, folder, given, population=kind, **asked)


def by_rate(outcome):
    return {member.setting["rate"]: member for member in outcome.members}


def test_what_is_drawn_anew_is_of_the_sweep():
    """A range's numbers are as likely as one another, its ends among them; values are sorted."""
    axes = {"rate": space.log(1e-4, 1.0), "decay": space.uniform(0.0, 1.0), "at": (0.3, 0.1)}
    found = populate.priors(axes | {"of": space.choice(2.0, 1.0)})
    assert found["at"] == [0.1, 0.3] and found["of"] == [1.0, 2.0]
    np.testing.assert_allclose(np.log10(found["rate"]), np.linspace(-4, 0, 1001), atol=1e-5)
    np.testing.assert_allclose(found["decay"], np.linspace(0, 1, 1001), atol=1e-6)


@pytest.mark.parametrize("mesh", [{"member": 1}, {"member": 2}], ids=str)
def test_the_worst_go_on_from_the_best(mesh, tmp_path):
    found = by_rate(swept(tmp_path / "sweep", "pbt", mesh=mesh))
    assert [found[rate].status for rate in RATES] == ["completed"] * 5
    worst = found[0.001].history
    parents = [RATES[int(p)] for p in worst["population/parent"][1]]
    assert worst["population/parent"][0].tolist() == [10, 20, 30]  # not after the last step
    assert parents[0] == 0.08  # whose walk is the nearest to zero at step 10
    rate = float(worst["population/rate"][1][0])
    assert min(abs(rate - 0.064), abs(rate - 0.08)) < 1e-6  # 0.8 of it, or where the range ends
    # It was where its parent was, and went on with a rate of its own.
    best = found[0.08].history["test/loss"][1]
    assert abs(worst["test/loss"][1][1] - best[1]) < 0.1 < worst["test/loss"][1][0] - best[0]
    assert float(best[0]) == pytest.approx(
        float(runs.train(small.walk(0.08), tmp_path / "alone").history["test/loss"][1][0])
    )


def test_the_better_half_goes_on(tmp_path):
    found = by_rate(swept(tmp_path / "sweep", "halving"))
    # Of ceil(log2 5) rungs, the first is of 40 / 7 steps, so 10, and the next of 3/7: 20.
    ends = {rate: (member.status, member.step) for rate, member in found.items()}
    assert collections_of(ends) == {("given up", 10): 2, ("given up", 20): 1} | {
        ("completed", 40): 2
    }
    first = {rate: found[rate].history["test/loss"][1][0] for rate in RATES}
    assert {rate for rate in RATES if ends[rate][1] == 10} == set(sorted(RATES, key=first.get)[3:])
    for rate, member in found.items():
        result = runs.train(small.walk(rate), tmp_path / str(rate))
        steps, losses = result.history["test/loss"]
        kept = steps <= member.step
        assert member.history["test/loss"][0].tolist() == steps[kept].tolist()
        np.testing.assert_allclose(member.history["test/loss"][1], losses[kept], rtol=1e-4)
        loaded = states.best(member.folder, small.shape(small.walk()))
        assert loaded.step == member.best[0]
        stepped = small.stepped(small.walk(rate), 0, loaded.step)
        np.testing.assert_allclose(loaded.state["at"], stepped["at"], rtol=1e-4, atol=1e-6)


def collections_of(ends):
    return {end: list(ends.values()).count(end) for end in ends.values()}


@KINDS
@pytest.mark.parametrize("chunks", [1, 3])
def test_stopped_and_gone_on_with_it_is_the_same_to_the_bit(kind, chunks, tmp_path, monkeypatch):
    whole = swept(tmp_path / "whole", kind, paced)
    caught = types.SimpleNamespace(Catcher=lambda: runs.StopAfter(chunks))
    stops = 0
    while True:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "stop", caught)
            outcome = swept(tmp_path / "sweep", kind, paced)
        if outcome.status == "completed":
            break
        stops += 1
        assert stops < 9
    assert stops >= 1
    assert small.curves(tmp_path / "sweep") == small.curves(tmp_path / "whole")
    assert small.table(tmp_path / "sweep") == small.table(tmp_path / "whole")
    shape = small.shape(small.walk())
    for one, other in zip(outcome.members, whole.members, strict=True):
        assert one.best == other.best
        mine, theirs = (states.best(member.folder, shape).state["at"] for member in (one, other))
        assert mine.tobytes() == theirs.tobytes()


@KINDS
def test_a_member_that_is_no_number_any_more(kind, tmp_path):
    """At step 15 the second of three, which breeding lets go on from the first; before, of equals
    the last was the worst, and has taken over the first one's harmlessness.
    """
    outcome = small.run_all(small.walk, tmp_path / "sweep", "harm=0.0,1.0,2.0", population=kind)
    ends = [(member.status, member.step) for member in outcome.members]
    if kind == "halving":  # three, of which two go on from step 10
        assert ends == [("completed", 40), ("failed", 20), ("given up", 10)]
        return
    assert ends[0] == ("completed", 40)
    assert [status for status, _ in ends] == ["completed"] * 3
    parents = [member.history["population/parent"][1].tolist() for member in outcome.members]
    assert parents[1][:2] == [1, 0] and parents[2][0] == 0
    assert outcome.members[1].history["train/loss"][0].tolist() == [10, 30, 40]


def test_seeds_can_be_halved(tmp_path):
    made = small.made(small.walk, tmp_path / "sweep", seeds=4, quiet=True, population="halving")
    outcome = campaign.run_all(made)
    assert sorted(member.step for member in outcome.members) == [10, 10, 40, 40]
    (row,) = compare.runs([tmp_path / "sweep"]).rows
    assert [run.status for run in row.counted] == ["completed"] * 2 and len(row.runs) == 4
    assert report._counted(outcome.members) == "2 of 4, 2 given up"
    (band,) = report.bands(outcome.members).values()
    assert band["test/loss"].steps.tolist() == [10, 20, 30, 40]


def test_what_halving_gave_up_is_in_the_table_but_in_no_ensemble(tmp_path):
    rates = (0.01, 0.02, 0.05, 0.08)
    outcome = swept(tmp_path / "sweep", "halving", test_ensemble.line, rates, ensemble=True)
    found = json.loads((tmp_path / "sweep/run.json").read_text())["result"]["ensembles"]
    assert [judged["members"] for judged in found.values()] == [2]
    ranked = report._ranked(outcome.members, "test/loss", False)
    statuses = [members[0].status for members in ranked]
    assert statuses == ["completed"] * 2 + ["given up"] * 2
    assert all(report._summed_up(members, "test/loss", "test/loss") != "-" for members in ranked)


def test_a_member_is_loaded_with_the_values_that_its_state_was_trained_with(toy, capsys):
    """Each rate that was drawn is in a curve; the best state's is the last one before its step."""
    assert launched("toy --sweep rate=0.01,0.02,0.03,0.05,0.08 harm=0.0 --population pbt") == 0
    (sweep,) = (toy / "runs/toy").iterdir()
    rows, changed = small.table(sweep), 0
    compared = compare.runs([sweep])
    for (label, _), row in rows.items():
        folder = sweep / label
        points = [v for s, v in runs.curves(folder)["population/rate"] if s < int(row["best_step"])]
        wanted = float(np.float32(points[-1])) if points else float(row["rate"])
        loaded = trained.load(folder)
        assert loaded.step == int(row["best_step"])
        rate = loaded.launched.hyperparameters["rate"]
        assert np.float32(rate) == np.float32(wanted) and rate == float(row["rate at best"])
        assert record.read(folder).hyperparameters["rate"] == float(row["rate"])  # to resume
        key, at = jax.random.key(3), jnp.ones(4)
        state, _ = loaded.run.learner.step({**loaded.state, "at": at}, None, key)
        noisy = at - rate * (at + 0.1 * jax.random.normal(key, (4,)))
        np.testing.assert_allclose(state["at"], noisy, rtol=1e-6)
        changed += rate != float(row["rate"])
        seen = [r for r in compared.rows if r.runs[0].folder.resolve() == folder.resolve()]
        assert float(seen[0].fact(("hyperparameter", "rate at best")) or row["rate"]) == rate
    assert changed and "rate at best" in capsys.readouterr().out


def test_an_ensemble_has_the_values_that_its_states_were_trained_with(tmp_path):
    offsets = (0.5, 0.9, 1.5, 2.0, 2.5)
    folder = tmp_path / "sweep"
    given = f"offset={','.join(map(str, offsets))}"
    outcome = small.run_all(shifted, folder, given, population="pbt", ensemble=True)
    judged = json.loads((folder / "run.json").read_text())["result"]["ensembles"]["all/test"]
    used = [{**m.setting, **m.bred}["offset"] for m in outcome.members]
    assert used != list(offsets)
    made, squares = shifted(), []
    shape = small.shape(made)
    for member, offset in zip(outcome.members, used, strict=True):
        at = np.asarray(states.best(member.folder, shape).state["at"], np.float64)
        test = test_ensemble.TEST
        squares.append(np.mean((test["input"] @ at + offset - test["input"].sum(1)) ** 2))
    np.testing.assert_allclose(judged["mean_loss"], np.mean(squares), rtol=1e-4)


@KINDS
def test_gone_on_with_on_other_devices(kind, tmp_path, monkeypatch):
    whole = swept(tmp_path / "whole", kind, paced, mesh={"member": 2})
    with monkeypatch.context() as patch:
        caught = types.SimpleNamespace(Catcher=lambda: runs.StopAfter(3))
        patch.setattr(loop, "stop", caught)
        begun = swept(tmp_path / "sweep", kind, paced, mesh={"member": 2})
    assert begun.status == "stopped"
    outcome = swept(tmp_path / "sweep", kind, paced, mesh={"member": 1})
    assert outcome.status == "completed"
    for one, other in zip(outcome.members, whole.members, strict=True):
        assert (one.status, one.step) == (other.status, other.step)
        np.testing.assert_allclose(one.best[1], other.best[1], rtol=1e-4)


def test_a_score_that_is_infinite_is_nobodys_parent(tmp_path):
    outcome = small.run_all(endless, tmp_path / "sweep", "rate=0.01,0.02,0.5", population="pbt")
    parents = [member.history["population/parent"][1] for member in outcome.members]
    assert parents[2][0] != 2 and 2 not in {int(found[0]) for found in parents}


def test_a_folder_of_another_kind_is_refused(toy, capsys):
    assert launched("toy --sweep rate=0.1,0.2 --population pbt --name a") == 0
    kept = json.loads((toy / "runs/toy/a/run.json").read_text())
    assert kept["hyperparameters"]["--population"] == "pbt"
    assert launched("toy --resume runs/toy/a") == 0
    capsys.readouterr()
    assert launched("toy --sweep rate=0.1,0.2 --name a") == 2
    assert "--population was 'pbt', now None" in capsys.readouterr().err
    assert launched("toy --resume runs/toy/a --population pbt") == 2
    assert "--population must come with a sweep" in capsys.readouterr().err
    assert launched("toy --resume runs/toy/a --jobs 2") == 2
    assert "A population must run here, got --jobs or --slurm." in capsys.readouterr().err


BAD = {
    "toy --population pbt": "--population must come with a sweep: --sweep or --seeds.",
    "toy --seeds 2 --population pbt": "--population pbt must vary a float; add --sweep.",
    "toy --sweep rate=0.1 --population pbt": "--population must have at least two runs, got one.",
    "toy --seeds 2 --population best": "--population must be one of pbt, halving, got 'best'.",
    "toy --seeds 2 --population halving --jobs 2": "--population must come without --jobs; it is "
    "one program.",
}


@pytest.mark.parametrize("command", BAD, ids=lambda command: command.replace(" ", "_"))
def test_what_a_command_may_not_ask_for(command, toy, capsys):
    assert launched(command) == 2
    assert capsys.readouterr().err == f"error: {BAD[command]}\n"
    assert not (toy / "runs").exists()


@pytest.mark.parametrize(
    "sweep, kind, message",
    [
        ("size=3,4", "halving", "arithmetic alone, got size"),
        ("size=3,4", "pbt", r"arithmetic alone \(pbt: floats\), got size"),
        ("patience=2,3", "halving", "arithmetic alone, got patience"),
        ("rate=0.1,0.2", "pbt", "without patience, got 1"),
    ],
)
def test_what_an_experiment_may_not_be(sweep, kind, message, tmp_path):
    function = small.walk if "patience" in sweep or "size" in sweep else patient
    with pytest.raises(execute.errors.InputError, match=message) as caught:
        small.run_all(function, tmp_path / "sweep", sweep, population=kind)
    assert "\n" not in str(caught.value) and not (tmp_path / "sweep").exists()


def paced(rate: float = 0.1):
    return small.walk(rate, chunk=5)


def shifted(offset: float = 0.0):
    """Whose score is best where its offset is low, and which goes on getting better."""
    made = test_ensemble.line(0.05, offset)

    def evaluate(state, batch, key):
        return {"loss": metrics.Mean.of(jnp.abs(state["at"]) + offset)}

    learner = made.learner._replace(evaluate=evaluate)
    return dataclasses.replace(made, learner=learner, monitor=small.walk().monitor)


def endless(rate: float = 0.1):
    """A score of negative infinity, the lowest, where the rate is high."""
    made = small.walk(rate)

    def evaluate(state, batch, key):
        return {"loss": metrics.Mean.of(jnp.where(rate > 0.3, -jnp.inf, jnp.abs(state["at"])))}

    return dataclasses.replace(made, learner=made.learner._replace(evaluate=evaluate))


def patient(rate: float = 0.1):
    return small.walk(rate, patience=1)
