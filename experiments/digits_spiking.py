"""A spiking network reads scikit-learn's handwritten digits from trains of spikes.

Data: 1,797 real 8×8 scans that ship with scikit-learn, a fifth of them for the test. A pixel is the
chance of a spike at each of 16 moments, drawn anew at each step, once for the test; or it says when
its only spike comes (latency), or is a constant current (direct).
Cost: 3 s on two CPU cores. Scores: test/accuracy 0.969 (5 seeds, sd 0.002), of a perceptron that
sees the pixels 0.975; test/firing_rate tells how often the neurons fire.

    python -m jaxdl.launch digits_spiking --code latency
"""

from typing import Any, Literal

import optax

from jaxdl.data import batches, digits, spikes
from jaxdl.learners import gradient
from jaxdl.models import spiking as models
from jaxdl.nn import spiking
from jaxdl.run import AtLeast, Run


def experiment(
    code: Literal["rate", "latency", "direct"] = "rate",
    moments: int = 16,
    width: int = 128,
    surrogate: Literal["fast_sigmoid", "arctan", "sigmoid", "triangle"] = "fast_sigmoid",
    decay: float = 0.9,
    learning_rate: float = 2e-3,
    batch_size: int = 64,
    steps: int = 2000,
) -> Run:
    """Adam through the surrogate's gradient; the test reads a moving average."""
    train, test = digits.load()
    neuron = spiking.Neuron(decay=decay, surrogate=surrogate)
    model = models.Spiking(classes=10, features=(width,), neuron=neuron)
    encode = {"latency": spikes.latency, "direct": spikes.direct}.get(code)

    def draw(batch: dict[str, Any], key: Any) -> dict[str, Any]:
        return batch | {"input": spikes.rate(batch["input"], moments, key)}

    def code_once(batch: dict[str, Any]) -> dict[str, Any]:
        return batch if encode is None else batch | {"input": encode(batch["input"], moments)}

    if code == "rate":
        test = spikes.drawn(test, moments)
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    return Run(
        learner=gradient.supervised(
            model,
            models.cross_entropy,
            optax.adam(schedule),
            average=0.99,
        ),
        train=batches.shuffled(
            train, batch_size, transform=code_once, augment=draw if code == "rate" else None
        ),
        tests={"test": batches.once(test, 180, transform=code_once)},
        steps=steps,
        expect=AtLeast("test/accuracy", 0.963),
    )
