"""A recurrent encoder and decoder with attention spell numbers out in English.

Data: made numbers of one to nine digits, 90,000 to learn from and 2,000 others for the test.
Cost: 22 s on a CPU core.
Scores: test/whole, the numbers spelled without a mistake, 0.9998 (3 seeds, sd 0.0003); without
attention 0.979 (sd 0.006).

    python -m jaxdl.launch numbers_seq2seq --no-attention
"""

from typing import Any

import numpy as np
import optax

from jaxdl import summary
from jaxdl.data import batches, numbers
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import seq2seq
from jaxdl.run import AtLeast, Run


def experiment(
    attention: bool = True,
    width: int = 64,
    learning_rate: float = 3e-3,
    batch_size: int = 64,
    steps: int = 1000,
    train_numbers: int = 90_000,
) -> Run:
    """Adam on the next word, falling along a cosine; the test counts numbers without a mistake."""
    train, test = numbers.load(train_numbers)
    model = seq2seq.Seq2Seq(len(numbers.SYMBOLS), len(numbers.WORDS), width, attention)
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    taught = gradient.supervised(
        model,
        classification.cross_entropy,
        optax.adam(schedule),
        scores=classification.whole,
        clip=1.0,
    )
    shown = test["input"]["source"][:10]

    def written(state: gradient.State, key: Any) -> summary.Text:
        """What the model makes of ten numbers, by beam search."""
        variables = gradient.variables(state)
        found = seq2seq.write(model, variables, shown, numbers.LONGEST, beams=4)
        return summary.Text("\n".join(map(_line, shown, np.asarray(found.tokens[:, 0]))))

    return Run(
        learner=taught,
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 500)},
        steps=steps,
        summaries={"written": written},
        expect=AtLeast("test/whole", 0.995),
    )


def _line(source: np.ndarray, tokens: np.ndarray) -> str:
    return f"    {numbers.digits(source)}: {numbers.words(tokens)}"
