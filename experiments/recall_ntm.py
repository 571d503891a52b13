"""A neural Turing machine is shown a list and, asked for an item, tells the next one.

Data: made lists of two to six items of three vectors of six random bits (associative recall),
50,000 of them; the tests are of six items, and of ten, more than it has ever seen.
Cost: TODO. Scores: TODO

    python -m jaxdl.launch recall_ntm --controller lstm
"""

from typing import Literal

import optax

from jaxdl.data import batches, copying
from jaxdl.learners import gradient
from jaxdl.losses import bits
from jaxdl.models import ntm
from jaxdl.run import AtMost, Run


def experiment(
    controller: Literal["feedforward", "lstm"] = "feedforward",
    width: int = 100,
    slots: int = 48,
    size: int = 16,
    items: int = 6,
    length: int = 3,
    learning_rate: float = 1e-3,
    batch_size: int = 16,
    steps: int = 10_000,
) -> Run:
    """RMSprop on the bits of the answer."""
    train = copying.recall(50_000, (2, items), length)
    tests = {n: copying.recall(400, (n, n), length, seed=n) for n in (items, items + 4)}
    model = ntm.NTM(outputs=6, controller=controller, width=width, slots=slots, size=size)
    optimizer = optax.rmsprop(learning_rate, decay=0.95, momentum=0.9)
    return Run(
        learner=gradient.supervised(model, bits.cross_entropy, optimizer, clip=1.0),
        train=batches.shuffled(train, batch_size, transform=copying.floats),
        tests={
            f"items_{n}": batches.once(test, 200, transform=copying.floats)
            for n, test in tests.items()
        },
        steps=steps,
        expect=AtMost(f"items_{items}/error", 0.02, share=0.3),
    )
