"""What a sweep refuses, in one to three lines, and before it has a folder."""

import sys

import pytest
import submitit  # noqa: F401 - it sets up logging, which closes what a test captures
import test_campaign

from jaxdl import errors, launch

launched, toy = test_campaign.launched, test_campaign.toy

BAD = {
    "toy --sweep reat=1,2": "--sweep must name hyperparameters of the experiment, got 'reat'. "
    "Did you mean rate?",
    "toy --sweep rate=": "--sweep rate must have at least one value, got none.",
    "toy --sweep rate=log(0.5,0.1) --samples 3": None,
    "toy --sweep rate=log(-1,1) --samples 3": "--sweep rate: A range of log must begin above 0, "
    "got log(-1,1). `uniform` may begin anywhere.",
    "toy --sweep rate=log(1e-3,1)": "A sweep over a range must say how many settings to draw, "
    "got rate=log(0.001,1).\nAdd --samples 32, or list the values.",
    "toy --jobs 2": "--jobs must come with a sweep: --sweep or --seeds.",
    "toy --ensemble": "--ensemble must come with a sweep: --sweep or --seeds.",
    "toy --sweep rate=0.1,0.2 --search tpe": "--search must come with --samples N, how many "
    "settings to try.",
    "toy --sweep rate=0.1,0.2 --search best --samples 2": None,
    "toy --sweep seed=1,2": "--sweep must leave the seed alone. Give --seeds 8 instead.",
    "blind --sweep rate=log(1e-3,1) --search tpe --samples 2": "A search must have a monitored "
    "metric; set Run.monitor.",
    "toy --samples 3": "A sweep must name what varies: --sweep width=64,128, or define "
    "`def sweep()` in the experiment's file.",
    "toy --seeds 3 --seed 4294967295": "--seed and --seeds must make seeds of at most 4294967295, "
    "got 4294967295 and 3.",
    "toy --seeds 2 --ensemble": "--ensemble must have a learner with `predict`, got one without.",
    "toy --seeds 0": "--seeds must be at least 1, got 0.",
    "toy --seeds 2 --dry-run": None,
    "toy --seeds 2 --mesh member=3": "The mesh must have all 2 devices, or one, got member=3, "
    "which has 3.\nGive one axis -1 to take what is left.",
    "toy --seeds 2 --mesh member=1,data=2": "--mesh of a sweep must have the axis member alone, or "
    "not at all.",
    "toy --seeds 2 --slurm time=10": "--slurm must be given on a machine that has SLURM's sbatch "
    "and srun, got one without them.\n--jobs N runs groups side by side on this machine alone.",
    "toy --seeds 2 --slurm nodes=2": "--slurm of a sweep must have one node and one task for each "
    "group, got nodes=2.",
}


@pytest.mark.parametrize("command", BAD, ids=lambda command: command.replace(" ", "_"))
def test_refuses(command, toy, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(toy))  # without SLURM
    assert launched(command) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("error: ")
    assert 1 <= len(complaint.splitlines()) <= 3
    if BAD[command] is not None:
        assert complaint == f"error: {BAD[command]}\n"
    assert not (toy / "runs").exists()


def test_refuses_jobs_without_submitit(toy, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert launched("toy --seeds 2 --jobs 2") == 2
    assert "Install jaxdl[slurm]." in capsys.readouterr().err
    assert not (toy / "runs").exists()


def test_refuses_to_resume_a_run_as_a_sweep_or_the_other_way_round(toy, capsys):
    assert launched("toy --name one") == 0
    assert launched("toy --seeds 2 --name many") == 0
    capsys.readouterr()
    for words in ("one --ensemble", "one --jobs 2", "many --dry-run", "many --verify"):
        assert launched(f"--resume runs/toy/{words}") == 2
        name, option = words.split()[:2]
        kinds = ("sweep", "run") if name == "one" else ("run", "sweep")
        message = "error: {} must come with a {}, got the folder of a {}, runs/toy/{}.\n"
        assert capsys.readouterr().err == message.format(option, *kinds, name)
    assert launched("--resume runs/toy/many --profile 2:3") == 2
    with pytest.raises(errors.InputError, match="must resume a run, got the folder of a sweep"):
        launch.launch("toy", resume="runs/toy/many", quiet=True)


def test_refuses_to_resume_a_member_alone(toy, capsys, monkeypatch):
    assert launched("toy --sweep rate=0.1,0.2 --name a") == 0
    capsys.readouterr()
    assert launched("--resume runs/toy/a/rate=0.1") == 2
    message = "--resume must be the folder of a whole sweep, got a member, {}.\nResume {}."
    told = message.format("runs/toy/a/rate=0.1", "runs/toy/a")
    assert capsys.readouterr().err == f"error: {told}\n"
    before = (toy / "runs/toy/a/rate=0.1/run.json").read_text()
    with pytest.raises(errors.InputError, match="got a member"):
        launch.launch("toy", resume="runs/toy/a/rate=0.1", quiet=True)
    monkeypatch.chdir(toy / "runs/toy/a/rate=0.1")
    assert launched("--resume .") == 2
    assert capsys.readouterr().err == f"error: {message.format('.', '..')}\n"
    assert (toy / "runs/toy/a/rate=0.1/run.json").read_text() == before


def test_refuses_another_sweep_in_the_folder(toy, capsys):
    assert launched("toy --sweep rate=0.1,0.2 --name a") == 0
    capsys.readouterr()
    assert launched("toy --sweep rate=0.1,0.3 --name a") == 2
    complaint = capsys.readouterr().err
    assert "holds another run: --sweep was ['rate=0.1,0.2'], now ['rate=0.1,0.3']" in complaint
