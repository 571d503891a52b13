"""What a layer makes of examples: a vector for each, for TensorBoard's projector and for probes
(jaxdl/analysis/probing.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdl import errors, learner, summary
from jaxdl.analysis import layers

_BATCH = 256  # examples that the network reads at once


Read = Callable[[Any, learner.Batch], dict[str, Float[np.ndarray, "b d"]]]


def reader(taught: learner.Learner) -> Read:
    """A function (state, examples) -> path of a layer -> a vector for each example, as
    `layers.outputs` and `layers.vectors` have it; compiled when first called.

    errors.InputError, when it is called: there is no `predict`, or nothing in it is a layer that
    puts out a row for each example.
    """
    order: list[str] = []  # as the layers finish; what comes out of jit is sorted by name

    @jax.jit
    def read(state: Any, batch: learner.Batch) -> dict[str, Any]:
        count = len(jax.tree.leaves(batch)[0])
        found = layers.outputs(taught, state, batch)
        each = {name: layers.vectors(x) for name, x in found.items() if x.shape[:1] == (count,)}
        order[:] = each
        return each

    def vectors(state: Any, examples: learner.Batch) -> dict[str, Float[np.ndarray, "b d"]]:
        parts = [jax.device_get(read(state, batch)) for batch in _batches(examples)]
        if not order:
            raise errors.InputError("A layer must put out a row for each example, got none.")
        return {name: np.concatenate([part[name] for part in parts]) for name in order}

    return vectors


def projected(
    taught: learner.Learner,
    examples: learner.Batch,
    layer: str | None = None,
    classes: Sequence[str] = (),
) -> Callable[[Any, Any], summary.Embedding]:
    """A summary: the examples as a layer sees them, in the projector; without one the last but one.

    Points are named by their label, `classes` or numbers; and where there are as many outputs as
    `classes`, also by the class of the largest.
    """
    read = reader(taught)

    @jax.jit
    def largest(state: Any, batch: learner.Batch) -> Any:
        out = taught.predict(state, batch) if taught.predict and classes else None
        if isinstance(out, jax.Array) and out.shape[1:] == (len(classes),):
            return jnp.argmax(out, axis=1)
        return None

    def show(state: Any, key: Any) -> summary.Embedding:
        found = read(state, examples)
        shown = points(found[layers.chosen(list(found), layer)], examples, classes)
        parts = [largest(state, batch) for batch in _batches(examples)]
        if parts[0] is None:
            return shown
        predicted = [classes[i] for part in parts for i in jax.device_get(part)]
        return shown._replace(columns={**shown.columns, "predicted": predicted})

    return show


def _batches(examples: learner.Batch) -> Iterator[learner.Batch]:
    for start in range(0, len(jax.tree.leaves(examples)[0]), _BATCH):
        yield jax.tree.map(lambda x, i=start: jnp.asarray(x[i : i + _BATCH]), examples)


def points(
    vectors: Float[np.ndarray, "b d"], examples: Mapping[str, Any], classes: Sequence[str] = ()
) -> summary.Embedding:
    """Vectors of examples for the projector, named by their label, pictured by an input of images.

    Labels are `target`, one for each example; without, the points have none. A label beyond the
    classes, such as -1 for none, is named by its number.
    """
    target, inputs = _array(examples.get("target")), _array(examples.get("input"))
    columns = {}
    if target.shape == (len(vectors),):
        whole = np.issubdtype(target.dtype, np.integer) and len(classes)
        columns["label"] = [_named(int(i), classes) for i in target] if whole else target
    images = inputs.ndim == 4 and inputs.shape[-1] in (1, 3)
    return summary.Embedding(vectors, columns, inputs if images else None)


def _array(value: Any) -> np.ndarray:
    """An empty one in place of what is a tree of several."""
    return np.asarray(value if isinstance(value, np.ndarray | jax.Array) else ())


def _named(label: int, classes: Sequence[str]) -> str:
    return classes[label] if 0 <= label < len(classes) else str(label)
