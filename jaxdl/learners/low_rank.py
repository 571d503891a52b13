"""Learning little of a model that is already trained: a probe of it, or low-rank changes to it.

Low-rank adapters: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021). Linear
probes: Alain and Bengio, "Understanding intermediate layers using linear classifier probes" (2016).
"""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from jaxdl import errors, learner
from jaxdl.learners import gradient

# key -> the trained variables; of weights that were loaded, `lambda key: loaded`
Start = Callable[[Any], gradient.Variables]

_LAST = ("output/",)  # how the models here name their last layer


def probe(
    model: Any,
    start: Start,
    loss: gradient.Loss,
    optimizer: optax.GradientTransformation,
    *,
    learn: Sequence[str] = _LAST,
    **options: Any,
) -> learner.Learner:
    """A learner of a few parameters of a trained model; the others stay as `start` has them.

    learn: regular expressions; parameters whose path one of them finds begin as the model
        initialises them, in shapes of their own, and are learnt.
    options: of `gradient.supervised`. Metrics are those of the loss.
    """
    started = Started(model, start, tuple(learn))

    def frozen(path: str) -> bool:
        return not _finds(learn, path)

    return gradient.supervised(started, loss, optimizer, freeze=frozen, **options)


def lora(
    model: Any,
    start: Start,
    loss: gradient.Loss,
    optimizer: optax.GradientTransformation,
    *,
    rank: int = 8,
    alpha: gradient.Scalar = 16.0,
    targets: Sequence[str] = ("/kernel$",),
    learn: Sequence[str] = _LAST,
    **options: Any,
) -> learner.Learner:
    """A learner of low-rank changes to a trained model's matrices, and of a few whole parameters.

    rank, alpha, targets: see `Adapted`; what is learnt whole is no target.
    learn, options: see `probe`; an empty `learn` changes the trained model alone.
    """
    started = Started(model, start, tuple(learn))
    adapted = Adapted(started, rank, alpha, tuple(targets), tuple(learn))

    def frozen(path: str) -> bool:
        whose, own = path.split("/", 1)
        return whose == "model" and not _finds(learn, own)

    return gradient.supervised(adapted, loss, optimizer, freeze=frozen, **options)


@dataclasses.dataclass(frozen=True)
class Started:
    """A model whose variables begin as trained ones, but for the parameters that `fresh` finds."""

    model: Any
    start: Start
    fresh: tuple[str, ...] = _LAST

    def init(self, keys: dict[str, Any], *inputs: Any, **options: Any) -> gradient.Variables:
        """The trained variables, with fresh parameters where they are to be."""
        variables = dict(self.model.init(keys, *inputs, **options))
        trained = dict(self.start(jax.random.fold_in(keys["params"], 1)))
        params, known = _flat(variables["params"]), _flat(trained["params"])
        for pattern in self.fresh:
            if not any(_finds((pattern,), path) for path in params):
                raise errors.InputError(
                    f"A pattern of learn must find a parameter, got {pattern!r}; "
                    f"the parameters are {', '.join(params)}."
                )
        for path, value in params.items():
            if _finds(self.fresh, path):
                continue
            if path not in known or jnp.shape(known[path]) != value.shape:
                found = jnp.shape(known[path]) if path in known else "none"
                raise errors.InputError(
                    f"The trained parameter {path} must have the shape {value.shape}, got {found}."
                )
            params[path] = known[path]
        return variables | trained | {"params": traverse_util.unflatten_dict(params, sep="/")}

    def apply(self, variables: gradient.Variables, *inputs: Any, **options: Any) -> Any:
        """The model's outputs."""
        return self.model.apply(variables, *inputs, **options)


@dataclasses.dataclass(frozen=True)
class Adapted:
    """A model whose matrices W are changed to W + alpha/rank · down·up (Hu et al., section 4.1).

    Its parameters are {"model": the model's own, "adapters": down (d, rank), up (rank, k) for each
    matrix (d, k)}. `up` is zero at first, so that nothing is changed. Where a kernel has more than
    two axes, all before the last are one.

    targets: regular expressions for the paths of the matrices; but: of those that are none.
    """

    model: Any
    rank: int = 8
    alpha: gradient.Scalar = 16.0
    targets: tuple[str, ...] = ("/kernel$",)
    but: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise errors.InputError(f"rank must be at least 1, got {self.rank}.")

    def init(self, keys: dict[str, Any], *inputs: Any, **options: Any) -> gradient.Variables:
        """The model's variables, and adapters that do not change it yet."""
        variables = dict(self.model.init(keys, *inputs, **options))
        flat = _flat(variables["params"])
        paths = [p for p in flat if _finds(self.targets, p) and not _finds(self.but, p)]
        if not paths:
            raise errors.InputError(
                f"targets must find a parameter, got {', '.join(self.targets)}; "
                f"the parameters are {', '.join(flat)}."
            )
        adapters = {}
        drawn = jax.random.split(jax.random.fold_in(keys["params"], 2), len(paths))
        for path, key in zip(paths, drawn, strict=True):
            *wide, k = flat[path].shape
            d = math.prod(wide)
            # Uniform as in the authors' code and PEFT: torch's default for a linear layer.
            down = jax.random.uniform(key, (d, self.rank), minval=-1, maxval=1) / math.sqrt(d)
            adapters[path] = {"down": down, "up": jnp.zeros((self.rank, k))}
        adapters = traverse_util.unflatten_dict(adapters, sep="/")
        return variables | {"params": {"model": variables["params"], "adapters": adapters}}

    def apply(self, variables: gradient.Variables, *inputs: Any, **options: Any) -> Any:
        """The changed model's outputs."""
        merged = variables | {"params": self.merged(variables["params"])}
        return self.model.apply(merged, *inputs, **options)

    def merged(self, params: Any) -> Any:
        """The model's own parameters with the changes added: as fast as the model, and what others
        can read.
        """
        flat = _flat(params["model"])
        parts = _flat(params["adapters"])
        for path in [part.removesuffix("/down") for part in parts if part.endswith("/down")]:
            change = self.alpha / self.rank * parts[f"{path}/down"] @ parts[f"{path}/up"]
            flat[path] = flat[path] + change.reshape(flat[path].shape).astype(flat[path].dtype)
        return traverse_util.unflatten_dict(flat, sep="/")


def trained(taught: learner.Learner, draw: Callable[[Any], learner.Batch], steps: int) -> Start:
    """A start that learns first: `steps` steps of a gradient learner, inside the program.

    draw: key -> a batch.
    """

    def start(key: learner.Key) -> gradient.Variables:
        init_key, key = jax.random.split(key)
        state = taught.init(init_key, draw(init_key))

        def step(state: gradient.State, key: learner.Key) -> tuple[gradient.State, None]:
            draw_key, step_key = jax.random.split(key)
            return taught.step(state, draw(draw_key), step_key)[0], None

        return gradient.variables(jax.lax.scan(step, state, jax.random.split(key, steps))[0])

    return start


def _flat(tree: Any) -> dict[str, Any]:
    """Path to array."""
    return traverse_util.flatten_dict(tree, sep="/")


def _finds(patterns: Sequence[str], path: str) -> bool:
    return any(re.search(pattern, path) for pattern in patterns)
