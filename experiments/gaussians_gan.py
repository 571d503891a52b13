"""A Wasserstein GAN with gradient penalty learns 25 Gaussians in the plane."""

import optax

from jaxdl.data import batches, gaussians
from jaxdl.learners import adversarial
from jaxdl.losses import adversarial as losses
from jaxdl.models import mlp
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 128,
    latent: int = 2,
    penalty: float = 0.1,
    critic_steps: int = 5,
    learning_rate: float = 4e-3,
    average: float = 0.999,
    batch_size: int = 256,
    steps: int = 2000,
) -> Run:
    """Adam for both players, its rate falling to nothing."""
    train = {"input": gaussians.draw(100_000, seed=0)}
    test = {"input": gaussians.draw(5_000, seed=1)}
    generator = mlp.MLP(features=(width,) * 3, outputs=2)
    critic = mlp.MLP(features=(width,) * 3, outputs=1)

    def adam(updates: int) -> optax.GradientTransformation:
        rate = optax.cosine_decay_schedule(learning_rate, updates)
        return optax.adam(rate, b1=0.5, b2=0.9)

    return Run(
        learner=adversarial.generative(
            generator,
            critic,
            losses.wasserstein(penalty),
            (adam(steps), adam(steps * critic_steps)),
            latent=latent,
            critic_steps=critic_steps,
            average=average,
            scores=lambda made, batch: {"grid": gaussians.coverage(made)},
        ),
        train=batches.shuffled(train, batch_size * critic_steps),
        tests={"test": batches.once(test, 5_000)},
        steps=steps,
        summaries={
            "samples": adversarial.pictures(generator, latent, 5_000, show=gaussians.picture)
        },
        expect=AtLeast("test/grid/modes", 24),
    )
