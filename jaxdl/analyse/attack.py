"""Whether a trained classifier holds: attacks, the robustness curve, corruptions of images."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors, learner, run, summary, trained
from jaxdl.analyse import report
from jaxdl.analysis import attack_pictures, attackable, attacks
from jaxdl.data import corruptions
from jaxdl.nn import perturbation

_CURVE = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # of epsilon
_SIZE: dict[perturbation.Norm, float] = {"linf": 8 / 255, "l2": 0.5}  # as RobustBench, of CIFAR-10


@dataclasses.dataclass(frozen=True)
class Options:
    """Move the inputs of a test within a small ball so that they are taken for another class, and
    spoil images by chance; the adversary knows the network.
    """

    test: str | None = None
    """The test whose examples are attacked; the first one unless named."""
    examples: int = 512
    """How many of them, from the first on."""
    epsilon: float | None = None
    """The ball's size; unless given 8/255 of the range of inputs, in l2 0.5 of it."""
    norm: perturbation.Norm = "linf"
    """The largest change of a coordinate, or Euclid's length of the change."""
    steps: int = 40
    """Gradients of each attack but FGSM, which takes one."""
    starts: int = 1
    """Random points of the ball that PGD and APGD begin at, one after another."""
    target: int | None = None
    """Also: how often can inputs of other classes be made to be taken for this one?"""
    low: float = 0.0
    """The least value that an input may have."""
    high: float = 1.0
    """The largest."""
    shown: int = 8
    """How many attacked images to show."""
    seed: int = 0
    """Of where attacks begin, and of corruptions."""


class _Victim(NamedTuple):
    """What is attacked, and how."""

    taught: learner.Learner
    state: Any
    batch: learner.Batch
    key: Any
    epsilon: float
    attacks: dict[str, attacks.Attack]
    options: Options


def analyse(found: trained.Trained, options: Options) -> report.Report:
    """Tables of accuracy under attack, against epsilon and, of images, under corruptions; pictures
    of the curve and of attacked images.
    """
    victim = _victim(found, options)
    moved = {name: _moved(victim, attack) for name, attack in victim.attacks.items()}
    held = {
        name: np.asarray(attacks.held(victim.taught, victim.state, victim.batch, x))
        for name, x in ({"no attack": victim.batch["input"]} | moved).items()
    }
    sizes = [victim.epsilon * x for x in _CURVE]
    shares = {
        name: attacks.curve(victim.taught, victim.state, victim.batch, victim.key, sizes, attack)
        for name, attack in victim.attacks.items()
    }
    tables = [_accuracy(held, victim), _curve(shares, sizes)]
    shown: dict[str, run.Shown] = {
        f"attack/accuracy/{name}": float(x.mean()) for name, x in held.items()
    }
    shown["attack/curve"] = summary.Image(attack_pictures.chart(sizes, shares, options.norm))
    if options.target is not None:
        tables.append(_targeted(victim, options.target))
    if victim.batch["input"].ndim == 4:
        tables.append(_corrupted(victim))
        few, spoiled = (x[: options.shown] for x in (victim.batch["input"], moved["PGD"]))
        pictures = attack_pictures.compared(few, spoiled, options.low, options.high)
        shown["attack/pictures"] = pictures
    tables.append(_taken(victim, moved["PGD"]))
    return report.Report(tables, shown)


def _victim(found: trained.Trained, options: Options) -> _Victim:
    predict = found.predictor("An attack")
    for name in ("examples", "shown", "steps"):
        if getattr(options, name) < 1:
            raise errors.InputError(f"--{name} must be at least 1, got {getattr(options, name)}.")
    batch = trained.examples(found.test(options.test), options.examples)
    attackable.batch(batch, options.low, options.high)
    batch = jax.tree.map(jnp.asarray, batch)
    logits = jax.eval_shape(predict, found.state, batch)
    attackable.logits(logits)
    classes = logits.shape[-1]
    if options.target is not None and not 0 <= options.target < classes:
        raise errors.InputError(
            f"--target must be one of {classes} classes, from 0, got {options.target}."
        )
    epsilon = options.epsilon
    if epsilon is None:
        epsilon = _SIZE[options.norm] * (options.high - options.low)
    chosen = _attacks(options, classes)
    key = jax.random.key(options.seed)
    return _Victim(found.run.learner, found.state, batch, key, epsilon, chosen, options)


def _attacks(options: Options, classes: int) -> dict[str, attacks.Attack]:
    """By name; the ratio of logits is of three classes or more."""
    fields = {"norm": options.norm, "low": options.low, "high": options.high}
    longer = fields | {"steps": options.steps, "starts": options.starts}
    chosen = {
        "FGSM": attacks.FGSM._replace(**fields),
        "PGD": attacks.PGD._replace(**longer),
        "APGD": attacks.APGD._replace(**longer),
    }
    return chosen | ({"APGD DLR": attacks.APGD_DLR._replace(**longer)} if classes > 2 else {})


def _moved(victim: _Victim, attack: attacks.Attack, wanted: Any = None) -> Any:
    return attacks.attacked(
        victim.taught, victim.state, victim.batch, victim.key, victim.epsilon, attack, wanted
    )


def _accuracy(held: dict[str, np.ndarray], victim: _Victim) -> report.Table:
    """What each attack leaves, and all together: each example meets the worst of them."""
    rows = [(name, float(x.mean())) for name, x in held.items()]
    rows.append(("the worst of all", float(np.all(list(held.values()), 0).mean())))
    options = victim.options
    note = (
        f"Of {len(held['no attack'])} examples, each moved by at most {victim.epsilon:.3g} "
        f"({options.norm}), in {options.steps} steps. Another attack may leave less."
    )
    if held["FGSM"].mean() < held["PGD"].mean():
        note += " One step finds more than many: the gradient deceives the attacks."
    return report.Table("Accuracy under attack", ("attack", "accuracy"), rows, note)


def _curve(shares: dict[str, np.ndarray], sizes: list[float]) -> report.Table:
    rows = [
        (f"{size:.4g}", *(float(x[i]) for x in shares.values())) for i, size in enumerate(sizes)
    ]
    return report.Table("Accuracy against epsilon", ("epsilon", *shares), rows)


def _targeted(victim: _Victim, target: int) -> report.Table:
    """The share of inputs of other classes that is taken for the target."""
    others = np.asarray(victim.batch["target"]) != target
    wanted = jnp.full(len(others), target, jnp.int32)
    rows = []
    for name, attack in victim.attacks.items():
        if attack.loss == "ce":
            moved = _moved(victim, attack, wanted)
            taken = attacks.taken_for(victim.taught, victim.state, victim.batch, moved, wanted)
            rows.append((name, float(taken.sum()) / max(1, others.sum())))
    note = f"Of {others.sum()} examples of other classes."
    return report.Table(f"Taken for class {target}", ("attack", "share"), rows, note)


def _corrupted(victim: _Victim) -> report.Table:
    options = victim.options
    found = attacks.corrupted(
        victim.taught, victim.state, victim.batch, victim.key, options.low, options.high
    )
    rows = [(kind, *map(float, shares), float(shares.mean())) for kind, shares in found.items()]
    head = ("corruption", *(str(x) for x in corruptions.SEVERITIES), "mean")
    return report.Table("Accuracy under corruptions of severity 1 to 5", head, rows)


def _taken(victim: _Victim, moved: Any) -> report.Table:
    """The first examples: what they are, and taken for as they are and under attack."""
    assert victim.taught.predict is not None  # see _victim
    count = min(victim.options.shown, len(moved))
    chances = [
        np.asarray(
            jax.nn.softmax(victim.taught.predict(victim.state, {**victim.batch, "input": x}))
        )
        for x in (victim.batch["input"], moved)
    ]
    target = np.asarray(victim.batch["target"])
    rows = [
        (i, int(target[i]), *(f"{x[i].argmax()} ({x[i].max():.2f})" for x in chances))
        for i in range(count)
    ]
    head = ("example", "target", "taken for (chance)", "under PGD")
    return report.Table("The first examples", head, rows)
