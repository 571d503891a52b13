"""A variational autoencoder learns to draw scikit-learn's handwritten digits.

Data: 1,797 real 8×8 scans that ship with scikit-learn, a fifth of them for the test; black and
white pixels are drawn from the grey ones, anew at each step, once for the test.

    python -m jaxdl.launch digits_vae --beta 4
"""

import optax

from jaxdl.data import batches, binary, digits
from jaxdl.learners import reconstruction, variational
from jaxdl.models import mlp, vae
from jaxdl.run import AtLeast, Run


def experiment(
    latent: int = 16,
    width: int = 128,
    depth: int = 1,
    dropout: float = 0.0,
    beta: float = 1.0,
    draws: int = 1,
    bound: str = "elbo",
    learning_rate: float = 1e-3,
    average: float = 0.99,
    batch_size: int = 128,
    steps: int = 3000,
) -> Run:
    """AdamW."""
    train, test = digits.load()
    test = binary.drawn(test)
    model = vae.VAE(
        encoder=mlp.MLP(features=(width,) * depth, outputs=2 * latent, dropout=dropout),
        decoder=mlp.MLP(features=(width,) * depth, outputs=64, dropout=dropout),
        latent=latent,
    )
    schedule = optax.cosine_decay_schedule(1.0, steps)
    optimizer = optax.adamw(lambda step: learning_rate * schedule(step))
    if bound == "elbo":
        learner = variational.evidence(model, optimizer, beta=beta, draws=draws, test_draws=100, average=average)
    else:
        learner = variational.importance_weighted(model, optimizer, draws=draws, test_draws=100, average=average)
    shown = {name: values[:32] for name, values in test.items()}
    return Run(
        learner=learner,
        train=batches.shuffled(train, batch_size, augment=binary.draw),
        tests={"test": batches.once(test, 360)},
        steps=steps,
        summaries={
            "samples": variational.samples(model, (8, 8, 1)),
            "reconstructions": reconstruction.pictures(learner, shown),
        },
        expect=AtLeast("test/elbo", -23.3),
    )
