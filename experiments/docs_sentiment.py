"""A small BERT tells praise from blame in reviews, made ones or your own.

Data: 12,000 made reviews, a fifth of them for the test, in which "not" turns a judgement around
and the main clause outweighs the other (jaxdl/data/reviews.py); or a file of yours, CSV or TSV,
with the columns text and label.
Cost: 25 s on a CPU core. Scores: test/accuracy 0.988 (3 seeds, sd 0.017); logistic regression on
counts of words has 0.560.

    python -m jaxdl.launch docs_sentiment --file reviews.csv --length 128
"""

import optax

from jaxdl.data import batches, reviews
from jaxdl.learners import gradient, schedules
from jaxdl.losses import classification
from jaxdl.models import bert
from jaxdl.run import AtLeast, Run


def experiment(
    file: str = "",
    length: int = 32,
    most_words: int = 20_000,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    dropout: float = 0.1,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    steps: int = 1000,
) -> Run:
    """AdamW on the cross-entropy, with a warm-up and a cosine."""
    found = reviews.read(file) if file else reviews.draw(12_000)
    train, test, words = reviews.encoded(found, length, most_words)
    encoder = bert.BERT(
        vocabulary=len(words),
        length=length,
        types=0,
        width=width,
        depth=depth,
        heads=heads,
        padding=reviews.PADDING,
        dropout=dropout,
    )
    schedule = schedules.warmup_cosine(learning_rate, steps)
    return Run(
        learner=gradient.supervised(
            bert.Classifier(encoder, classes=2, dropout=dropout),
            classification.cross_entropy,
            optax.adamw(schedule),
            scores=classification.binary_scores,
            clip=1.0,
        ),
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 512)},
        steps=steps,
        names=words,
        rules=bert.RULES,
        expect=AtLeast("test/accuracy", 0.98),
    )
