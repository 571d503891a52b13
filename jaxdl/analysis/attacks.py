"""Does it hold: a classifier's accuracy where an adversary, or plain mischance, changes its inputs.

Goodfellow et al. (2015), FGSM; Madry et al. (2018), PGD; Croce and Hein (2020), APGD; corruptions
as of Hendrycks and Dietterich (2019). All know the network and its gradient. Accuracy under attack
is an upper bound of what holds: that an attack fails does not say that another would. Where a
longer attack, a wider ball or a further loss finds much more, the gradient deceives the attacker
(Athalye et al., "Obfuscated gradients give a false sense of security", 2018).

`taught` is a learner whose `predict` gives logits of classes, or a function inputs -> logits, to
which `state` is nothing. Everything is jitted, once for each `taught` and attack.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Integer

from jaxdl import errors, learner, metrics
from jaxdl.analysis import apgd, attackable
from jaxdl.data import corruptions
from jaxdl.nn import limits, perturbation

Taught = learner.Learner | Callable[[Any], Any]


class Attack(NamedTuple):
    """How the worst input of a ball is looked for.

    method: "pgd" takes steps of one size and ends at the last point; "apgd" chooses their sizes.
    steps: how many, each a gradient of the network.
    starts: random points of the ball to begin at, one after another, the worst end counts; 0 begins
        at the input itself.
    stride: a step of PGD as a share of epsilon; None is 2.5 / steps, as Madry et al.
    loss: what rises, the cross-entropy "ce" or the difference of logits ratio "dlr".
    norm: the largest change of a coordinate "linf", or Euclid's length of the change "l2".
    low, high: the range of inputs.
    """

    method: Literal["pgd", "apgd"] = "pgd"
    steps: int = 40
    starts: int = 1
    stride: float | None = None
    loss: Literal["ce", "dlr"] = "ce"
    norm: perturbation.Norm = "linf"
    low: float = 0.0
    high: float = 1.0


FGSM = Attack(steps=1, starts=0, stride=1.0)
PGD = Attack()
APGD = Attack("apgd")
APGD_DLR = Attack("apgd", loss="dlr")


def attacked(
    taught: Taught,
    state: Any,
    batch: learner.Batch,
    key: Any,
    epsilon: perturbation.Scalar,
    attack: Attack = PGD,
    wanted: Integer[Array | np.ndarray, "b"] | None = None,
) -> Float[Array, "b *shape"]:
    """The batch's inputs, each moved within its ball so that it is taken for another class.

    batch: with "input", floats in the attack's range, and "target", classes (b,).
    epsilon: the ball's size, in units of the input.
    wanted: a targeted attack: the classes (b,) that the inputs are to be taken for.
    """
    _check(taught, batch, epsilon, attack, wanted)
    return _searched(taught, attack, state, batch, key, epsilon, wanted)


def held(
    taught: Taught, state: Any, batch: learner.Batch, moved: Float[Array, "b *shape"]
) -> Bool[Array, "b"]:
    """Which examples are classified rightly both as they are and as moved: an adversary may also
    leave an input as it is.
    """
    attackable.learner(taught)
    return _right(taught, state, batch, batch["input"]) & _right(taught, state, batch, moved)


def taken_for(
    taught: Taught,
    state: Any,
    batch: learner.Batch,
    moved: Float[Array, "b *shape"],
    wanted: Integer[Array | np.ndarray, "b"],
) -> Bool[Array, "b"]:
    """Which of the moved inputs are taken for the wanted class: whether a targeted attack succeeds.

    Examples that are of the wanted class count as not, there is nothing to deceive.
    """
    attackable.learner(taught)
    found = _right(taught, state, {**batch, "target": wanted}, moved)
    return found & (jnp.asarray(batch["target"]) != wanted)


def curve(
    taught: Taught,
    state: Any,
    batch: learner.Batch,
    key: Any,
    epsilons: Sequence[float],
    attack: Attack = PGD,
) -> Float[np.ndarray, "e"]:
    """The robustness curve: the share that is `held` under the attack, for each epsilon."""
    shares = []
    for epsilon in epsilons:
        moved = attacked(taught, state, batch, key, epsilon, attack)
        shares.append(held(taught, state, batch, moved).mean())
    return np.asarray(jax.device_get(shares), np.float32)


def corrupted(
    taught: Taught, state: Any, batch: learner.Batch, key: Any, low: float = 0.0, high: float = 1.0
) -> dict[str, Float[np.ndarray, "5"]]:
    """Accuracy on the batch's images (b, h, w, c) under each corruption, severities 1 to 5.

    low, high: the range of inputs, which stands for black to white.
    """
    _check(taught, batch, 0.0, PGD._replace(low=low, high=high), None)
    if batch["input"].ndim != 4:
        raise errors.InputError(
            f"Corruptions must be of images (b, h, w, c), got {attackable.shape(batch['input'])}."
        )

    scale = (low, high - low)
    found = {k: _spoiled(taught, k, state, batch, key, scale) for k in corruptions.KINDS}
    return {kind: np.asarray(right.mean(1), np.float32) for kind, right in found.items()}


def examined(
    taught: learner.Learner,
    epsilon: perturbation.Scalar,
    attacks: Mapping[str, Attack],
    spoiled: Sequence[str] = (),
) -> learner.Learner:
    """The learner with a harder examination: for each attack by its name `name_accuracy`, the share
    that is `held`, and for each corruption of images in [0, 1], such as "noise", likewise the
    mean accuracy of its five severities. All attacks begin at the same points.
    """
    attackable.learner(taught)
    for kind in spoiled:
        limits.one_of("A corruption", kind, corruptions.KINDS)

    def evaluate(state: Any, batch: learner.Batch, key: Any) -> learner.Metrics:
        found = taught.evaluate(state, batch, key)
        for name, attack in attacks.items():
            moved = attacked(taught, state, batch, key, epsilon, attack)
            found[f"{name}_accuracy"] = metrics.Mean.of(held(taught, state, batch, moved))
        for kind in spoiled:
            right = _spoiled(taught, kind, state, batch, key, (0.0, 1.0))
            found[f"{kind}_accuracy"] = metrics.Mean.of(right.mean(0))
        return found

    return taught._replace(evaluate=evaluate)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _searched(
    taught: Taught, attack: Attack, state: Any, batch: Any, key: Any, epsilon: Any, wanted: Any
) -> Array:
    """The search from each start, one after another so that memory is that of one."""
    x = batch["input"]
    into = {"low": attack.low, "high": attack.high, "norm": attack.norm}

    def judge(point: Array) -> tuple[Array, Array]:
        return _judged(_logits(taught, state, batch, point), batch, wanted, attack.loss)

    def once(start: Array) -> Array:
        if attack.method == "apgd":
            return apgd.ascended(judge, x, start, epsilon, attack.steps, **into)
        step = epsilon * (2.5 / attack.steps if attack.stride is None else attack.stride)
        return perturbation.descended(
            lambda point: judge(point)[0].sum(), x, start, epsilon, step, attack.steps, **into
        )

    def again(best: tuple[Array, Array, Array], key: Array) -> tuple[Any, None]:
        point = once(perturbation.uniform(x, key, epsilon, **into))
        loss, deceived = judge(point)
        better = (deceived & ~best[2]) | ((deceived == best[2]) & (loss > best[1]))
        found = jnp.where(perturbation.along(better, x), point, best[0])
        return (found, jnp.where(better, loss, best[1]), deceived | best[2]), None

    if attack.starts == 0:
        return once(x)
    nothing = (x, jnp.full(len(x), -jnp.inf), jnp.zeros(len(x), bool))
    return jax.lax.scan(again, nothing, jax.random.split(key, attack.starts))[0][0]


def _judged(logits: Array, batch: Any, wanted: Any, loss: str) -> tuple[Array, Array]:
    """What the adversary wants to rise, for each example, and whether it is deceived."""
    attackable.logits(logits, loss, wanted is not None)
    if loss == "dlr":
        losses = apgd.ratio(logits, batch["target"], wanted)
    elif wanted is None:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["target"])
    else:
        losses = -optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
    if wanted is None:
        return losses, apgd.margin(logits, batch["target"]) <= 0
    return losses, apgd.margin(logits, wanted) > 0


@functools.partial(jax.jit, static_argnums=0)
def _right(taught: Taught, state: Any, batch: Any, inputs: Any) -> Array:
    logits = _logits(taught, state, batch, inputs)
    return apgd.margin(logits, batch["target"]) > 0


@functools.partial(jax.jit, static_argnums=(0, 1))
def _spoiled(taught: Taught, kind: str, state: Any, batch: Any, key: Any, scale: Any) -> Array:
    """Which are right when spoiled, (5, b), of inputs whose black and span to white are `scale`."""
    black, span = scale
    images = (batch["input"] - black) / span

    def right(severity: Array) -> Array:
        spoiled = corruptions.corrupted(images, key, kind, severity)
        return _right(taught, state, batch, black + span * spoiled)

    return jax.vmap(right)(jnp.array(corruptions.SEVERITIES))


def _logits(taught: Taught, state: Any, batch: Any, inputs: Any) -> Array:
    if not isinstance(taught, learner.Learner):
        logits = taught(inputs)
    else:
        assert taught.predict is not None  # see attackable.learner
        logits = taught.predict(state, {**batch, "input": inputs})
    attackable.logits(logits)
    return logits.astype(jnp.float32)


def _check(taught: Taught, batch: Any, epsilon: Any, attack: Attack, wanted: Any) -> None:
    """Refuse what cannot be meant; a traced number cannot be looked at."""
    attackable.learner(taught)
    limits.at_least(0, "An attack's epsilon", epsilon)
    limits.at_least(1, "An attack's steps", attack.steps)
    limits.at_least(0, "An attack's starts", attack.starts)
    limits.positive("An attack's stride", attack.stride)
    for name, known in _KNOWN.items():
        if getattr(attack, name) not in known:
            raise errors.InputError(
                f"An attack's {name} must be {' or '.join(known)}, got {getattr(attack, name)}."
            )
    attackable.batch(batch, attack.low, attack.high)
    if wanted is not None:
        attackable.classes("wanted class", wanted, len(batch["input"]))


_KNOWN = {"method": ("pgd", "apgd"), "loss": ("ce", "dlr"), "norm": ("linf", "l2")}
