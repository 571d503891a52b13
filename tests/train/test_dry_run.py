"""The dry run: what it says of a device's memory agrees with what can be counted by hand."""

import dataclasses
import re

import jax
import optax
import pytest
import runs

from jaxdl import run
from jaxdl.data import batches, text
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import gpt
from jaxdl.train import dry_run, program, simulate


def small(**changes):
    """A GPT whose state of 12 bytes a parameter is easily counted."""
    model = gpt.GPT(vocabulary=256, length=16, width=32, depth=1, heads=4)
    learner = gradient.supervised(model, classification.in_bits, optax.adamw(1e-3))
    corpus = text.encode("abc" * 1000)
    return run.Run(learner=learner, train=batches.windows(corpus, 16, 8), steps=10, **changes)


def test_the_state_of_a_device_is_its_share():
    what = small(mesh={"fsdp": 2}, rules=gpt.RULES)
    made = program.Program(what, 0, what.train.open(0).first())
    parts = dry_run.memory(made, made.compiled_step())
    kernels = 256 * 32 + 16 * 32 + 12 * 32 * 32
    vectors = 9 * 32 + 4 * 32 + 2 * 32  # biases and norms: small, so whole
    counted = 12 * (kernels / 2 + vectors)
    assert parts["state"] == pytest.approx(counted, abs=64)  # counters, metrics
    assert parts["data"] == pytest.approx(3000, abs=64)
    assert parts["work space"] > 0


def test_shows_layouts_memory_and_talk(capsys):
    dry_run.show(small(mesh={"fsdp": 2}, rules=gpt.RULES), runs.launched(), hbm=1000)
    shown = capsys.readouterr().out
    assert re.search(
        r"block_0/mlp/up/kernel +\[32, 128\] +float32 +4,096 +fsdp, whole +8,192", shown
    )
    assert re.search(r"norm/scale +\[32\] +float32 +32 +replicated +128", shown)
    assert re.search(r"mesh +fsdp=2: 2 devices", shown)
    assert re.search(r"all-gather +\d+ +\d", shown)
    assert re.search(r"fits 1000 B +no: the state is .* KiB too much", shown)


def test_one_device_has_no_layout(capsys):
    dry_run.show(small(), runs.launched())
    shown = capsys.readouterr().out
    assert "layout" not in shown and "mesh" not in shown and "fits" not in shown
    assert re.search(r"state +\d", shown)


def test_shows_the_data_and_what_stands_out(capsys):
    data = runs.examples()
    what = runs.full(steps=2, log_every=1, eval_every=2, save_every=2)
    what = dataclasses.replace(what, tests={"test": batches.once(data, 8)})  # the training data
    dry_run.show(what, runs.launched())
    shown = capsys.readouterr().out
    low, high = (f"{x:.4g}" for x in (data["input"].min(), data["input"].max()))
    assert re.search(rf"train +50 +input +\[5\] +float32 +{low} +{high} +\S+ ± \S+", shown)
    assert re.search(r"target +\[\] +int32 +0 +2 +3 classes", shown)
    share = (data["target"] == 0).sum()
    assert re.search(rf"0 +{share} +{share / 50:.2%} +{share} +{share / 50:.2%}", shown)
    assert "  ✓ every number is finite" in shown
    assert "  ! 50 of 50 different inputs of test are in train too, first test 0 = train 0" in shown


@pytest.mark.parametrize(
    "hbm, said",
    [
        (60, "yes: 0 B to spare"),
        (59, "no: the work space is 1 B too much. Less of it: rematerialisation"),
        (29, "no: the data is 1 B too much. Less of it: jaxdl.data.streams"),
        (9, "no: the state is 1 B too much. Less of it: more devices on fsdp or tensor"),
    ],
)
def test_names_the_first_that_does_not_fit(hbm, said):
    assert dry_run.verdict({"state": 10, "data": 20, "work space": 30}, hbm).startswith(said)


def test_plans_for_simulated_devices(capfd):
    """More devices than there are; refused where they do not fit, before anything is compiled."""
    planned = ["digits_mlp", "--batch-size", "64", "--dry-run"]
    assert simulate.simulate(16, planned) == 0
    assert re.search(r"mesh +data=16: 16 devices", capfd.readouterr().out)
    assert simulate.simulate(3, planned) == 2
    assert "must be a multiple of data × fsdp, 3 devices, got 64" in capfd.readouterr().err
    assert jax.device_count() == 2
