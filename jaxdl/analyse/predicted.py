"""What a trained run says of the examples of one of its tests."""

import jax
import numpy as np

from jaxdl import errors, learner, trained


def examples(
    found: trained.Trained, thing: str, test: str | None, count: int | None
) -> tuple[learner.Batch, np.ndarray]:
    """The first `count` examples of a test, all where it is None, and the outputs for them.

    The outputs are made in the test's own batches. thing: what needs them, "Calibration".
    Batches that do not fit together: see `trained.joined`.
    errors.InputError: there is no such test, no `predict`, or it gives no single array.
    """
    predict, parts = found.predictor(thing), []
    for batch in trained.each(found.test(test), count):
        outputs = predict(found.state, batch)
        if not isinstance(outputs, jax.Array) or not isinstance(batch, dict):
            raise errors.InputError(
                f"{thing} must be of a learner whose `predict` gives one array, "
                f"got {type(outputs).__name__} in a run of {found.launched.experiment}."
            )
        parts.append(jax.device_get((batch, outputs)))
    return trained.joined(parts, count)


def classes(batch: learner.Batch, outputs: np.ndarray) -> bool:
    """Whether these are logits (b, k) for integer targets (b,)."""
    target = batch.get("target")
    if target is None or not np.issubdtype(target.dtype, np.integer):
        return False
    return outputs.ndim == 2 and target.shape == outputs.shape[:1]
