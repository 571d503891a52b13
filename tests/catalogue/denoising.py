"""Learners that lead noise to data, and their experiments."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import catalogue
from jaxdl import learner, metrics
from jaxdl.data import batches
from jaxdl.learners import denoising, flow_matching
from jaxdl.models import denoiser


def _examples(count: int = 24) -> dict[str, np.ndarray]:
    values = np.random.default_rng(0).standard_normal((count, 2, 2, 1)).astype(np.float32)
    return {"input": values, "target": np.arange(count, dtype=np.int32) % 3}


def _train() -> batches.Shuffled:
    return batches.shuffled(_examples(), 8)


def _model() -> denoiser.Denoiser:
    return denoiser.Denoiser(width=8, depth=1, classes=3)


def _scores(samples, batch) -> learner.Metrics:
    return {"square": metrics.Mean.of(samples**2)}


def _diffusion() -> learner.Learner:
    model, schedule = _model(), denoising.linear(20)
    return denoising.diffusion(
        model,
        schedule,
        optax.sgd(0.1, momentum=0.9),
        forget=0.3,
        generate=denoising.generator(model, schedule, steps=2, eta=1.0, guidance=2.0, limit=1.0),
        scores=_scores,
        average=0.9,
    )


def _flow() -> learner.Learner:
    model = denoiser.Denoiser(width=8, depth=1, waves=2)
    generate = flow_matching.generator(model, steps=2)
    optimizer = optax.sgd(0.1, momentum=0.9)
    return flow_matching.flow(model, optimizer, generate=generate, scores=_scores, clip=1.0)


def _test() -> dict[str, jax.Array]:
    return jax.tree.map(jnp.asarray, _examples(64))  # some in each quarter of time


LEARNERS = {
    "diffusion": catalogue.Case(_diffusion, _train, test=_test, random=True, tolerance=1e-4),
    "flow": catalogue.Case(_flow, _train, test=_test, random=True, tolerance=1e-4),
}

SMALL = {
    "digits_diffusion": {"width": 8, "depth": 1, "sampling_steps": 2},
    "gaussians_diffusion": {"width": 8, "depth": 1, "sampling_steps": 2},
    "gaussians_flow": {"width": 8, "depth": 1, "sampling_steps": 2},
}
