"""An autoencoder that knows healthy machines alone tells which ones are about to fail.

Data: made vibration spectra of machines whose bearings take a fault that grows until they fail: 20
lives, of which only the cycles before the fault are learnt from, and 20 others for the test.
Cost: 3 s on a busy CPU core, compiling aside.
Scores: test/fault/auroc 0.9958 (3 seeds, sd 0.0004); of the level of the vibration 0.878, of the
distance from the mean spectrum 0.982, of four principal components 0.995: a linear code does almost
as well. The alarm comes 37 cycles before the failure.

    python -m jaxdl.launch machines_autoencoder --code 8
"""

from typing import Any

import flax.linen as nn
import optax

from jaxdl import learner
from jaxdl.data import batches, machines
from jaxdl.learners import gradient, reconstruction
from jaxdl.models import autoencoder, mlp
from jaxdl.run import AtLeast, Run


def experiment(
    code: int = 4,
    width: int = 64,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.1,
    batch_size: int = 64,
    steps: int = 1500,
    lives: int = 20,
) -> Run:
    """AdamW with a cosine; a recording's error is what the alarm goes by."""
    train, test = machines.load(lives)
    encoder, decoder = (
        mlp.MLP(features=(width,), outputs=outputs, act=nn.gelu)
        for outputs in (code, machines.BANDS)
    )
    model = autoencoder.Autoencoder(encoder, decoder)
    schedule = optax.cosine_decay_schedule(learning_rate, steps)

    def scores(variables: gradient.Variables, batch: learner.Batch, key: Any) -> learner.Metrics:
        _, rebuilt = model.apply(variables, batch["input"])
        return {"fault": machines.alarm(((rebuilt - batch["input"]) ** 2).mean(-1), batch)}

    taught = reconstruction.autoencoder(
        model,
        optax.adamw(schedule, weight_decay=weight_decay),
        scores=scores,
        average=0.99,
    )
    return Run(
        learner=taught,
        train=batches.shuffled({"input": train["input"]}, batch_size),
        tests={"test": batches.once(test, 1000)},
        steps=steps,
        expect=AtLeast("test/fault/auroc", 0.99),
    )
