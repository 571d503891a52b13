"""Learning by drawing what is hidden: the masked autoencoder.

He et al., "Masked autoencoders are scalable vision learners" (2021).

Logged, in training and evaluation:
loss: mean squared error of the pixels of hidden patches.
An evaluation draws what to hide from its key; `predict` gives features of whole images.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxdl import errors, learner, metrics, summary
from jaxdl.learners import gradient
from jaxdl.losses import probe
from jaxdl.models import masked_autoencoder
from jaxdl.nn import patches


def masked(
    model: masked_autoencoder.MaskedAutoencoder,
    optimizer: optax.GradientTransformation,
    *,
    ratio: float = 0.5,
    scores: probe.Scores | None = None,
    **options: Any,
) -> learner.Learner:
    """A learner that hides a part `ratio` of the patches of `batch["input"]` and draws them.

    scores: (features, batch) -> further metrics of an evaluation, such as `probe.few_shot()`, of
        the mean of the encoder's tokens where nothing is hidden.
    options: those of `gradient.minimise`.
    """
    if not 0 < ratio < 1:
        raise errors.InputError(f"ratio must lie between 0 and 1, got {ratio}.")

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        kept, _ = hidden(key, batch["input"], model.patch, ratio)
        return gradient.initial(model, key, batch["input"], kept, train=False)

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        mask_key, model_key = jax.random.split(key)
        kept, unseen = hidden(mask_key, batch["input"], model.patch, ratio)
        (drawn, _), after = gradient.applied(
            model, variables, model_key, batch["input"], kept, train=True
        )
        return _error(drawn, batch["input"], model.patch, unseen), after

    def evaluate(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> learner.Metrics:
        kept, unseen = hidden(key, batch["input"], model.patch, ratio)
        drawn, _ = model.apply(variables, batch["input"], kept, train=False)
        further = {} if scores is None else scores(predict(variables, batch), batch)
        return _error(drawn, batch["input"], model.patch, unseen) | further

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Any:
        x = batch["input"]
        count = patches.cut(x, model.patch).shape[1]
        every = jnp.broadcast_to(jnp.arange(count)[None], (len(x), count))
        outputs: Any = model.apply(variables, x, every, train=False)
        return outputs[1].mean(1)

    return gradient.minimise(
        begin, objective, optimizer, evaluate=evaluate, predict=predict, **options
    )


def hidden(
    key: Any, x: Float[Array, "b h w c"], patch: int, ratio: float
) -> tuple[Int[Array, "b m"], Float[Array, "b n"]]:
    """Of each image: the indices of the patches that are kept, and 1 for each that is hidden."""
    count = patches.cut(x, patch).shape[1]
    keep = count - round(ratio * count)
    if not 0 < keep < count:
        raise errors.InputError(
            f"ratio must keep and hide at least one of {count} patches, got {ratio}."
        )
    order = jnp.argsort(jax.random.uniform(key, (len(x), count)))
    rank = jnp.argsort(order)
    return order[:, :keep], (rank >= keep).astype(jnp.float32)


def drawings(
    model: masked_autoencoder.MaskedAutoencoder, images: Float[Any, "b h w c"], ratio: float = 0.5
) -> Callable[[gradient.State, Any], summary.Image]:
    """A summary: rows of an image with hidden patches black, the image as drawn, and the image."""

    def shown(state: gradient.State, key: Any) -> summary.Image:
        x = jnp.asarray(images)
        kept, unseen = hidden(key, x, model.patch, ratio)
        drawn, _ = model.apply(gradient.variables(state), x, kept, train=False)
        true = patches.cut(x, model.patch)
        unseen = unseen[..., None]
        rows = [true * (1 - unseen), jnp.where(unseen > 0, drawn, true), true]
        rows = [patches.join(row, model.patch, images.shape[1:]) for row in rows]
        padded = [jnp.pad(row, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1) for row in rows]
        return summary.Image(jnp.clip(jnp.concatenate(padded, axis=2), 0, 1))

    return shown


def _error(
    drawn: Float[Array, "b n p"], x: Float[Array, "b h w c"], patch: int, unseen: Any
) -> learner.Metrics:
    wrong = (drawn - patches.cut(x, patch)) ** 2
    mask = jnp.broadcast_to(unseen[..., None], wrong.shape)
    return {"loss": metrics.Mean.of(wrong, mask)}
