"""An acoustic model writes down the phones of made speech, without being told when they are said.

Data: 4,000 made utterances of three to eight of ten phones by a formant synthesiser, with speakers,
glides and noise 20 to 35 dB below the voice; 300 for the test.
Cost: 25 s on a CPU core. Scores: test/phone_error 0.0033 (3 seeds, sd 0.0004); the Conformer has
0.0015 (2 seeds) after 65 s. At each evaluation TensorBoard plays utterances, shows what the model
hears and writes what it reads from them.

    python -m jaxdl.launch phones_ctc --encoder conformer
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import learner, summary
from jaxdl.data import batches, formants, log_mel, spec_augment
from jaxdl.learners import gradient, schedules
from jaxdl.losses import ctc
from jaxdl.models import acoustic
from jaxdl.run import AtMost, Run

SHOWN = 3  # utterances


def experiment(
    encoder: Literal["recurrent", "conformer"] = "recurrent",
    width: int = 96,
    depth: int = 1,
    hidden_share: float = 0.1,
    learning_rate: float = 2e-3,
    batch_size: int = 32,
    utterances: int = 4000,
    beam: int = 0,
    steps: int = 1500,
) -> Run:
    """Adam with a warm-up and a cosine; `beam` reads the test by prefix search."""
    train, test = formants.load(utterances)
    symbols = len(formants.NAMES)
    bands = functools.partial(
        log_mel.features, front=log_mel.LogMel(formants.RATE, window=256, hop=80, bands=40)
    )

    def hidden(batch: learner.Batch, key: jax.Array) -> learner.Batch:
        """Stretches of each utterance masked, as SpecAugment does."""
        x, lengths = batch["input"]
        x = spec_augment.masked(x, lengths, key, longest=5, share=hidden_share, widest=6)
        return batch | {"input": ctc.Utterances(x, lengths)}

    model = (
        acoustic.Recurrent(symbols, width, depth)
        if encoder == "recurrent"
        else acoustic.Conformer(symbols, width, depth, heads=4, kernel=15, halvings=1)
    )
    schedule = schedules.warmup_cosine(learning_rate, steps)
    learns = gradient.supervised(
        model,
        ctc.loss,
        optax.adam(schedule),
        scores=ctc.error_rate("phone_error", beam),
        clip=5.0,
    )
    return Run(
        learner=learns,
        train=batches.shuffled(train, batch_size, transform=bands, augment=hidden),
        tests={"test": batches.once(test, 100, transform=bands)},
        steps=steps,
        summaries={"heard": heard(learns, {k: v[:SHOWN] for k, v in test.items()}, bands)},
        expect=AtMost("test/phone_error", 0.01),
        rules=acoustic.RULES,
    )


def heard(
    learns: learner.Learner, utterances: learner.Batch, bands: Callable[[Any], Any]
) -> Callable[[Any, Any], dict[str, summary.Shown]]:
    """A summary of utterances: their sound, what the model is given of it, and what it writes."""
    predict = learns.predict
    assert predict is not None

    @jax.jit
    def read(state: Any, waves: learner.Batch) -> tuple[jax.Array, jax.Array]:
        batch = bands(waves)
        return batch["input"].features, ctc.greedy(predict(state, batch))

    def show(state: Any, key: Any) -> dict[str, summary.Shown]:
        features, written = jax.device_get(read(state, jax.tree.map(jnp.asarray, utterances)))
        rows = ["| spoken | written |", "| --- | --- |"]
        pairs = zip(utterances["target"], written, strict=True)
        rows += [f"| {_names(a)} | {_names(b)} |" for a, b in pairs]
        sounds = np.asarray(utterances["wave"]), formants.RATE, utterances["length"]
        pictures = np.clip(0.5 + features.swapaxes(1, 2)[:, ::-1, :, None] / 6, 0, 1)
        pictures = np.pad(pictures, ((0, 0), (0, 2), (0, 0), (0, 0)), constant_values=1)
        return {
            "sound": summary.Audio(*sounds),
            "bands": summary.Image(np.concatenate(pictures)),
            "written": summary.Text("\n".join(rows)),
        }

    return show


def _names(symbols: np.ndarray) -> str:
    return " ".join(formants.NAMES[i] for i in symbols if i)
