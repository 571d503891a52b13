"""Writes on after a prompt: a language model from a run's folder, or a pretrained one.

    python tools/chat.py runs/stdlib_gpt/20260101-120000-abcd --prompt "def "
    python tools/chat.py FOLDER --temperature 0.7 --top-p 0.95     # asks for prompts until Ctrl-D

A run's folder must be of a model that predicts the next byte, as stdlib_gpt, stdlib_lstm and
stdlib_mamba do; its best checkpoint is taken. A pretrained folder is one that transformers saved
(jaxdl/models/pretrained.py), with its tokenizer.json; it needs the extra `interop`.
"""

import dataclasses
import functools
import itertools
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxdl import errors, trained
from jaxdl.data import text
from jaxdl.data import tokens as tokenized
from jaxdl.models import pretrained, tensor_files
from jaxdl.nn import decoding, sampling
from jaxdl.train import record

TOGETHER = 16  # tokens written in one call of the device, and shown at once


@dataclasses.dataclass(frozen=True)
class Options:
    """Writes on after a prompt with a trained language model."""

    folder: Annotated[pathlib.Path, tyro.conf.Positional]
    """Of a run, or of a pretrained model."""
    prompt: str | None = None
    """What to go on from; asked for again and again where it is not given."""
    tokens: int = 256
    """How many to write, or fewer where the model ends the text."""
    temperature: float = 0.8
    """Of the draws; 0 always takes the likeliest."""
    top_k: int | None = None
    """Draw among so many likeliest tokens."""
    top_p: float | None = None
    """Draw among the likeliest tokens that have this probability together."""
    seed: int = 0
    """Of the draws."""


class Language(NamedTuple):
    """A model behind its tokens: `write` goes on after some, piece by piece, for ever."""

    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    write: Callable[[list[int], Any], Iterator[list[int]]]
    ends: frozenset[int] = frozenset()  # tokens after which there is nothing more
    length: int | None = None  # most tokens of prompt and answer, None: any


def of_run(folder: pathlib.Path, options: Options) -> Language:
    """The best model of a run. Its learner's `predict` is all that is asked of it: each token is
    drawn after the last tokens that fit the training's window.
    """
    found = trained.load(folder)
    if found.run.train is None or found.run.learner.predict is None:
        raise errors.InputError(
            f"A run to chat with must predict the next byte, got one of "
            f"{found.launched.experiment}."
        )
    made, state, predict = found.program, found.state, found.run.learner.predict
    inputs = made.batch_shape()["input"]
    outputs = jax.eval_shape(predict, state, {"input": jax.ShapeDtypeStruct(inputs.shape, int)})
    logits = jax.tree.leaves(outputs)[0].shape
    if logits != (*inputs.shape, text.VOCABULARY):
        raise errors.InputError(
            "A run to chat with must predict the next byte, logits (b, n, 256) from (b, n), "
            f"got {logits} from {inputs.shape}."
        )
    length = inputs.shape[1]

    def one(state: Any, carry: tuple[Any, Any], key: Any) -> tuple[tuple[Any, Any], Any]:
        window, size = carry
        logits = jax.tree.leaves(predict(state, {"input": window[None]}))[0][0, size - 1]
        token = sampling.sample(key, logits, options.temperature, options.top_k, options.top_p)
        full = size == length
        window = jnp.where(full, jnp.roll(window, -1), window)
        place = jnp.where(full, size - 1, size)
        return (window.at[place].set(token), place + 1), token

    @jax.jit
    def piece(state: Any, carry: Any, keys: Any) -> Any:
        return jax.lax.scan(functools.partial(one, state), carry, keys)

    def write(prompt: list[int], key: Any) -> Iterator[list[int]]:
        kept = prompt[-length:]
        window = jnp.zeros(length, jnp.int32).at[: len(kept)].set(jnp.asarray(kept, jnp.int32))
        carry = window, jnp.int32(len(kept))
        for n in itertools.count():
            keys = jax.random.split(jax.random.fold_in(key, n), TOGETHER)
            carry, tokens = piece(state, carry, keys)
            yield tokens.tolist()

    return Language(
        lambda prompt: text.encode(prompt).tolist(),
        lambda tokens: text.decode(np.asarray(tokens, np.uint8)),
        write,
    )


def of_pretrained(folder: pathlib.Path, options: Options) -> Language:
    """A pretrained model, which remembers what it has read."""
    tokenizer = tokenized.read(folder)
    model, variables = pretrained.load(folder)
    if not hasattr(model, "empty_cache"):
        raise errors.InputError(
            f"A pretrained model to chat with must be a language model, got a "
            f"{type(model).__name__}."
        )
    read = jax.jit(functools.partial(decoding.read, model))
    draw = functools.partial(
        decoding.write,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
    )
    piece = jax.jit(functools.partial(draw, model))

    def write(prompt: list[int], key: Any) -> Iterator[list[int]]:
        logits, cache = None, model.empty_cache(1)
        for part in _parts(prompt):
            tokens = jnp.asarray(part, jnp.int32)[None]
            logits, cache = read(variables["params"], tokens, cache)
        for n in itertools.count():
            keys = jax.random.split(jax.random.fold_in(key, n), TOGETHER)
            (logits, cache), tokens = piece(variables["params"], logits, cache, keys)
            yield tokens[0].tolist()

    end = tensor_files.config(folder).get("eos_token_id")
    ends = end if isinstance(end, list) else [] if end is None else [end]
    return Language(
        lambda prompt: tokenizer.encode(prompt).tolist(),
        lambda tokens: tokenizer.decode(np.asarray(tokens)),
        write,
        frozenset(ends),
        model.length,
    )


def _parts(tokens: list[int]) -> Iterator[list[int]]:
    """Tokens in parts of powers of two, so that few programs serve prompts of every length."""
    while tokens:
        size = 1 << (len(tokens).bit_length() - 1)
        yield tokens[:size]
        tokens = tokens[size:]


def opened(options: Options) -> Language:
    """The model of a folder, of whichever kind it is."""
    folder = options.folder.expanduser()
    if (folder / record.FILE).is_file():
        return of_run(folder, options)
    if (folder / tensor_files.CONFIG).is_file():
        return of_pretrained(folder, options)
    raise errors.InputError(
        f"The folder must be of a run ({record.FILE}) or a pretrained model "
        f"({tensor_files.CONFIG}), got {options.folder}."
    )


def answered(language: Language, prompt: str, options: Options, key: Any) -> Iterator[str]:
    """What goes on after a prompt, in pieces of text."""
    tokens = language.encode(prompt)
    if not tokens:
        raise errors.InputError("The prompt must have at least 1 token, got 0.")
    if language.length is not None and len(tokens) + options.tokens > language.length:
        raise errors.InputError(
            f"Prompt and answer must fit the model's context of {language.length} tokens, "
            f"got {len(tokens)} + {options.tokens}. Ask for fewer --tokens."
        )
    written: list[int] = []
    shown = ""
    for piece in language.write(tokens, key):
        end = next((i for i, token in enumerate(piece) if token in language.ends), len(piece))
        written += piece[:end]
        over = end < len(piece) or len(written) >= options.tokens
        whole = language.decode(written[: options.tokens])
        if not over:
            whole = whole.rstrip("\N{REPLACEMENT CHARACTER}")  # a character only half written
        yield whole[len(shown) :]
        if over:
            return
        shown = whole


def chat(options: Options) -> None:
    """Answer the prompt, or prompts as they are typed."""
    if options.tokens < 1:
        raise errors.InputError(f"tokens must be at least 1, got {options.tokens}.")
    sampling.sample(  # refuses settings before anything is loaded
        jax.random.key(0), jnp.zeros(2), options.temperature, options.top_k, options.top_p
    )
    language, key = opened(options), jax.random.key(options.seed)
    asked = [options.prompt] if options.prompt is not None else _typed()
    for n, prompt in enumerate(asked):
        try:
            print(prompt, end="")
            for piece in answered(language, prompt, options, jax.random.fold_in(key, n)):
                print(piece, end="", flush=True)
            print()
        except errors.InputError as error:
            if options.prompt is not None:
                raise
            print(f"error: {error}")


def _typed() -> Iterator[str]:
    """Prompts from the keyboard, or from a pipe, until there are no more."""
    while True:
        try:
            yield input("> ").replace("\\n", "\n")
        except EOFError:
            return


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = tyro.cli(Options, args=arguments)
    try:
        chat(options)
    except KeyboardInterrupt:
        print()
    except errors.UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
