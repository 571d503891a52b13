"""A run that was stopped and launched again is the run that was never stopped, bit for bit."""

import pytest
import runs

from jaxdl.data import batches
from jaxdl.train import stop


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return runs.train(runs.full(), tmp_path_factory.mktemp("whole") / "run")


def resumed(monkeypatch, folder, chunks, **changes):
    """Stop after so many chunks of 2 steps, launch again, and so on; then run to the end."""
    for count in chunks:
        with monkeypatch.context() as patched:
            patched.setattr(stop, "Catcher", lambda count=count: runs.StopAfter(count))
            result = runs.train(runs.full(**changes), folder)
        assert result.status == "stopped"
        assert runs.curves(folder) == runs.history(result)
    return runs.train(runs.full(**changes), folder)


def test_a_whole_run_logs_what_it_should(whole):
    found = runs.history(whole)
    assert set(found) == {
        *("train/loss", "train/accuracy", "train/gradient_norm"),
        *("test/loss", "test/accuracy", "shown/norm"),
    }
    assert [step for step, _ in found["train/loss"]] == list(range(6, 61, 6))
    assert [step for step, _ in found["test/loss"]] == list(range(12, 61, 12))
    assert runs.curves(whole.folder) == found
    steps, losses = whole.history["test/loss"]
    assert whole.best == (steps[losses.argmin()], losses.min())
    assert whole.metrics["test/loss"] == losses[-1]
    assert whole.metrics["test/accuracy"] in [n / 20 for n in range(21)]  # not 0.949999988


@pytest.mark.parametrize(
    "chunks",
    [
        (1, 2, 3, 4, 5, 6),  # steps 2, 6, 12, 20, 30, 42: within an interval, and at its end
        (7, 11, 11),  # 14, 36, 58
        (29,),
    ],
    ids=str,
)
def test_same_bits_wherever_it_was_stopped(chunks, whole, monkeypatch, tmp_path):
    runs.check_same(resumed(monkeypatch, tmp_path / "run", chunks), whole)


def test_a_stream_goes_on_where_it_stood(whole, monkeypatch, tmp_path):
    result = resumed(monkeypatch, tmp_path / "run", (4, 13), streamed=True)
    alone = runs.train(runs.full(streamed=True), tmp_path / "alone")
    runs.check_same(result, alone)
    # The stream gives the batches of the data in memory, so it is even the same run.
    assert runs.history(result) == runs.history(whole)


def test_a_stop_that_saves_nothing_repeats_from_the_last_checkpoint(whole, monkeypatch, tmp_path):
    """What a kill leaves: curves beyond the checkpoint, which the next launch writes again."""

    class Killed(BaseException):
        pass

    class Kill(runs.StopAfter):
        @property
        def requested(self):
            if super().requested:
                raise Killed

    for chunks in (10, 4, 9):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(stop, "Catcher", lambda chunks=chunks: Kill(chunks))
            runs.train(runs.full(), tmp_path / "run")
    runs.check_same(runs.train(runs.full(), tmp_path / "run"), whole)


def test_a_finished_run_is_returned_without_training(whole, monkeypatch):
    def refuse(*_):
        raise AssertionError("a finished run must not take batches")

    before = {path: path.read_bytes() for path in whole.folder.glob("*") if path.is_file()}
    monkeypatch.setattr(batches._ShuffledFeed, "restore", lambda *_: None)
    monkeypatch.setattr("jaxdl.train.program.Program.advance", refuse)
    monkeypatch.setattr("jaxdl.train.program.Program.evaluate", refuse)
    runs.check_same(runs.train(runs.full(), whole.folder), whole)
    assert before == {path: path.read_bytes() for path in whole.folder.glob("*") if path.is_file()}


def test_patience_stops_early_and_for_good(monkeypatch, tmp_path):
    # A rate this high makes each evaluation worse than the one before.
    what = runs.linear(rate=1.2, patience=2, steps=200, log_every=5, eval_every=5, save_every=20)
    result = runs.train(what, tmp_path / "run")
    assert (result.status, result.step, result.best[0]) == ("stopped early", 15, 5)
    assert result.history["test/loss"][1][0] == result.best[1]
    again = runs.train(what, tmp_path / "run")
    runs.check_same(again, result)
    # A stop in between neither forgets nor repeats an evaluation.
    with monkeypatch.context() as patched:
        patched.setattr(stop, "Catcher", lambda: runs.StopAfter(2))
        assert runs.train(what, tmp_path / "two").step == 10
    runs.check_same(runs.train(what, tmp_path / "two"), result)
