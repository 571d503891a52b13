"""Clients that have two kinds of digits each learn to read all ten, and no image leaves its client.

Data: scikit-learn's 8×8 scans, a fifth of them for the test; the others are dealt to ten clients.
Cost: 4 s on two CPU cores, compiling aside. Scores: test/accuracy 0.973 (5 seeds, sd 0.003);
0.962 after 100 rounds. With all data in one place digits_mlp has 0.975.

    python -m jaxdl.launch digits_fedavg --server adam --server-rate 0.01
"""

from typing import Literal

import optax

from jaxdl.data import batches, clients, digits
from jaxdl.learners import federated
from jaxdl.losses import classification
from jaxdl.models import mlp
from jaxdl.run import AtLeast, Run


def experiment(
    participants: int = 10,
    asked: int = 10,
    classes_each: int = 2,
    epochs: int = 5,
    width: int = 64,
    learning_rate: float = 0.2,
    server: Literal["sgd", "adam"] = "sgd",
    server_rate: float = 1.0,
    batch_size: int = 32,
    steps: int = 300,
) -> Run:
    """asked: how many of the participants learn in a round; a step is a round."""
    train, test = digits.load()
    return Run(
        learner=federated.averaging(
            mlp.MLP(features=(width,), classes=10),
            classification.cross_entropy,
            optax.sgd(learning_rate),
            # Reddi et al. 2021, section 5: an epsilon of 1e-3 and a second decay of 0.99.
            server=optax.adam(server_rate, b2=0.99, eps=1e-3)
            if server == "adam"
            else optax.sgd(server_rate),
            epochs=epochs,
            batch_size=batch_size,
        ),
        train=batches.shuffled(clients.by_class(train, participants, classes_each), asked),
        tests={"test": batches.once(test, 512)},
        steps=steps,
        expect=AtLeast("test/accuracy", 0.965),
    )
