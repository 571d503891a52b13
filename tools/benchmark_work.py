"""What tools/benchmark.py trains: each model twice, here and in PyTorch, with its data."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import cnn, gpt, mlp, rnn


@dataclasses.dataclass(frozen=True)
class Work:
    """The same training on both sides; `torch_model` makes PyTorch's module from its namespace."""

    model: Any
    loss: gradient.Loss
    data: batches.Shuffled
    torch_model: Callable[[Any], Any]


def perceptron(inputs: int, features: Sequence[int], batch: int) -> Work:
    """A perceptron with ten classes."""

    def torch_model(torch: Any) -> Any:
        widths, layers = [inputs, *features], []
        for before, after in itertools.pairwise(widths):
            layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
        return torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 10))

    model = mlp.MLP(features=tuple(features), classes=10)
    return Work(model, classification.cross_entropy, images((inputs,), batch), torch_model)


def convolutional(size: int = 28, features: Sequence[int] = (32, 64), batch: int = 64) -> Work:
    """3x3 convolutions of one channel, each with a 2x2 pool, and a dense layer of 128."""

    def torch_model(torch: Any) -> Any:
        nn = torch.nn
        channels, side, layers = 1, size, [nn.Flatten(), nn.Unflatten(1, (1, size, size))]
        for width in features:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            channels, side = width, side // 2
        layers += [nn.Flatten(), nn.Linear(channels * side * side, 128), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(128, 10))

    model = cnn.CNN(features=tuple(features), classes=10, hidden=128)
    return Work(model, classification.cross_entropy, images((size, size, 1), batch), torch_model)


def recurrent(width: int = 128, length: int = 128, batch: int = 32) -> Work:
    """An LSTM that predicts the next of `length` bytes."""

    def torch_model(torch: Any) -> Any:
        class Language(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embed = torch.nn.Embedding(256, width)
                self.lstm = torch.nn.LSTM(width, width, batch_first=True)
                self.output = torch.nn.Linear(width, 256)

            def forward(self, tokens: Any) -> Any:
                return self.output(self.lstm(self.embed(tokens))[0])

        return Language()

    model = rnn.RNN(outputs=256, cell="lstm", width=width, vocabulary=256)
    return Work(model, classification.in_bits, tokens(length, batch), torch_model)


def transformer(
    width: int = 128, depth: int = 4, heads: int = 4, length: int = 128, batch: int = 16
) -> Work:
    """A decoder-only transformer that predicts the next of `length` bytes."""
    model = gpt.GPT(
        vocabulary=256, length=length, width=width, depth=depth, heads=heads, tied=False
    )
    return Work(
        model,
        classification.in_bits,
        tokens(length, batch),
        functools.partial(torch_gpt, width=width, depth=depth, heads=heads, length=length),
    )


def torch_gpt(
    torch: Any,
    width: int,
    depth: int,
    heads: int,
    length: int,
    vocabulary: int = 256,
    tied: bool = False,
) -> Any:
    """PyTorch's GPT of the same shape, its attention fused; tied: one matrix in and out."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            q, k, v = (
                part.unflatten(2, (heads, width // heads)).transpose(1, 2)
                for part in self.qkv(self.norm_1(x)).chunk(3, dim=2)
            )
            attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(attended.transpose(1, 2).flatten(2))
            return x + self.down(functional.gelu(self.up(self.norm_2(x)), approximate="tanh"))

    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(depth)))
            self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
            if tied:
                self.output.weight = self.embed.weight

        def forward(self, tokens: Any) -> Any:
            x = self.embed(tokens) + self.places.weight[None, : tokens.shape[1]]
            return self.output(self.norm(self.blocks(x)))

    return Language()


def images(shape: tuple[int, ...], batch: int, count: int = 2048) -> batches.Shuffled:
    """Noise, of one of ten classes."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(count, *shape)).astype(np.float32)
    targets = rng.integers(0, 10, count).astype(np.int32)
    return batches.shuffled({"input": inputs, "target": targets}, batch)


def tokens(length: int, batch: int, count: int = 1024) -> batches.Shuffled:
    """Random bytes, and the next of each."""
    drawn = np.random.default_rng(0).integers(0, 256, (count, length + 1)).astype(np.int32)
    return batches.shuffled({"input": drawn[:, :-1], "target": drawn[:, 1:]}, batch)
