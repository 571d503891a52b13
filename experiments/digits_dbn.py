"""A deep belief network learns digits a layer at a time, and then to read them.

Data: 1,797 real 8×8 scans that ship with scikit-learn, a fifth of them for the test. Each layer is
a Boltzmann machine that never sees a label; then all are fine-tuned by gradient.
Cost: S on two CPU cores, compiling aside. Scores: SCORES

    python -m jaxdl.launch digits_dbn --layer-steps 0
"""

import optax

from jaxdl.data import batches, digits
from jaxdl.learners import contrastive_divergence, deep_belief
from jaxdl.losses import classification
from jaxdl.models import dbn
from jaxdl.run import AtLeast, Run


def experiment(
    hidden: tuple[int, ...] = (256, 256),
    layer_steps: int = 1500,
    sweeps: int = 1,
    pretraining_rate: float = 0.1,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    steps: int = 5000,
) -> Run:
    """CD-1 with momentum for each layer, then Adam; without layer steps Adam alone, the control."""
    train, test = digits.load()
    model = dbn.DBN(visible=64, hidden=hidden, classes=10)
    return Run(
        learner=deep_belief.stacked(
            model,
            classification.cross_entropy,
            pretraining=optax.sgd(pretraining_rate, momentum=0.5),
            fine_tuning=optax.adam(learning_rate),
            layer_steps=layer_steps,
            sweeps=sweeps,
        ),
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 256)},
        steps=steps,
        summaries={
            "filters": lambda state, key: contrastive_divergence.filters(
                state.layers[0].params, 8, 8
            ),
            "fantasies": lambda state, key: contrastive_divergence.fantasies(
                model.machines()[0], state.layers[0].params, key, 8, 8
            ),
        },
        expect=AtLeast("test/accuracy", 0.97),
    )
