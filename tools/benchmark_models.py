"""More rows of tools/benchmark.py: residual, segmenting and attentive networks, here and in PyTorch
as one writes them there.
"""

import functools
from typing import Any

import benchmark_work
import numpy as np

from jaxdl.data import batches
from jaxdl.losses import classification
from jaxdl.models import bert, resnet, rnn, unet, vit

Work = benchmark_work.Work


def residual(stages: tuple[int, ...] = (3, 3, 3), batch: int = 64) -> Work:
    """ResNet-20 on 32x32 images of three channels, with shortcuts of no parameters."""
    block = functools.partial(resnet.BasicBlock, shortcut="pad")
    model = resnet.ResNet(stages=stages, classes=10, block=block, width=16, stem="cifar")
    data = benchmark_work.images((32, 32, 3), batch)
    torch_model = functools.partial(_torch_resnet, stages=stages)
    return Work(model, classification.cross_entropy, data, torch_model)


def segmenting(features: tuple[int, ...] = (16, 32, 64), batch: int = 16) -> Work:
    """A U-Net of three scales, with batch norm, that gives each pixel of 64x64 one of 4 classes."""
    random = np.random.default_rng(0)
    images = random.normal(size=(256, 64, 64, 1)).astype(np.float32)
    classes = random.integers(0, 4, (256, 64, 64)).astype(np.int32)
    model = unet.UNet(classes=4, features=features)
    data = batches.shuffled({"input": images, "target": classes}, batch)
    torch_model = functools.partial(_torch_unet, features=features)
    return Work(model, classification.cross_entropy, data, torch_model)


def patched(width: int = 128, depth: int = 4, batch: int = 32) -> Work:
    """A vision transformer of 64 patches of 4x4 and a class token."""
    model = vit.ViT(classes=10, size=32, patch=4, width=width, depth=depth, heads=4)
    data = benchmark_work.images((32, 32, 3), batch)
    torch_model = functools.partial(_torch_vit, width=width, depth=depth)
    return Work(model, classification.cross_entropy, data, torch_model)


def gated(width: int = 128, length: int = 128, batch: int = 32) -> Work:
    """A GRU that predicts the next of `length` bytes."""

    def torch_model(torch: Any) -> Any:
        class Language(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embed = torch.nn.Embedding(256, width)
                self.gru = torch.nn.GRU(width, width, batch_first=True)
                self.output = torch.nn.Linear(width, 256)

            def forward(self, tokens: Any) -> Any:
                return self.output(self.gru(self.embed(tokens))[0])

        return Language()

    model = rnn.RNN(outputs=256, cell="gru", width=width, vocabulary=256)
    data = benchmark_work.tokens(length, batch)
    return Work(model, classification.in_bits, data, torch_model)


def bidirectional(width: int = 128, depth: int = 4, length: int = 128, batch: int = 16) -> Work:
    """A BERT that tells each of `length` bytes."""
    encoder = bert.BERT(
        vocabulary=256,
        length=length,
        types=0,
        width=width,
        depth=depth,
        heads=4,
        padding=None,
        pooler=False,
    )
    data = benchmark_work.tokens(length, batch)
    torch_model = functools.partial(_torch_bert, width=width, depth=depth, length=length)
    return Work(bert.MaskedLM(encoder), classification.in_bits, data, torch_model)


def _torch_resnet(torch: Any, stages: tuple[int, ...]) -> Any:
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, inputs: int, features: int) -> None:
            super().__init__()
            self.stride, self.more = features // inputs, features - inputs
            conv = functools.partial(nn.Conv2d, kernel_size=3, padding=1, bias=False)
            self.conv_1 = conv(inputs, features, stride=self.stride)
            self.conv_2 = conv(features, features)
            self.norm_1, self.norm_2 = nn.BatchNorm2d(features), nn.BatchNorm2d(features)

        def forward(self, x: Any) -> Any:
            y = functional.relu(self.norm_1(self.conv_1(x)))
            y = self.norm_2(self.conv_2(y))
            if self.more:
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.more))
            return functional.relu(x + y)

    layers: list[Any] = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    before = 16
    for i, blocks in enumerate(stages):
        for _ in range(blocks):
            layers.append(Block(before, 16 * 2**i))
            before = 16 * 2**i
    return nn.Sequential(
        _permuted(torch, (0, 3, 1, 2)),
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(before, 10),
    )


def _torch_unet(torch: Any, features: tuple[int, ...]) -> Any:
    nn = torch.nn

    def stage(inputs: int, outputs: int) -> Any:
        layers = []
        for before in (inputs, outputs):
            conv = nn.Conv2d(before, outputs, 3, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*layers)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = list(zip((1, *features), features, strict=False))
            self.down = nn.ModuleList(stage(*pair) for pair in pairs)
            self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairs[1:])
            self.merge = nn.ModuleList(stage(2 * a, a) for a, _ in pairs[1:])
            self.pool, self.output = nn.MaxPool2d(2), nn.Conv2d(features[0], 4, 1)

        def forward(self, x: Any) -> Any:
            x, seen = x.permute(0, 3, 1, 2), []
            for i, down in enumerate(self.down):
                x = down(x if i == 0 else self.pool(x))
                seen.append(x)
            for i in reversed(range(len(self.up))):
                x = self.merge[i](torch.cat([seen[i], self.up[i](x)], 1))
            return self.output(x).permute(0, 2, 3, 1)

    return Net()


def _torch_vit(torch: Any, width: int, depth: int) -> Any:
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(3, width, 4, 4)
            self.token = nn.Parameter(torch.zeros(width))
            self.places = nn.Parameter(torch.randn(65, width) * 0.02)
            self.encoder = _torch_encoder(torch, width, depth, first=True)
            self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, 10)

        def forward(self, x: Any) -> Any:
            x = self.embed(x.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(len(x), 1, -1), x], 1) + self.places
            return self.output(self.norm(self.encoder(x))[:, 0])

    return Net()


def _torch_bert(torch: Any, width: int, depth: int, length: int) -> Any:
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.places = nn.Embedding(256, width), nn.Embedding(length, width)
            self.norm = nn.LayerNorm(width)
            self.encoder = _torch_encoder(torch, width, depth, first=False)
            self.transform, self.last = nn.Linear(width, width), nn.LayerNorm(width)
            self.bias = nn.Parameter(torch.zeros(256))

        def forward(self, tokens: Any) -> Any:
            x = self.encoder(self.norm(self.embed(tokens) + self.places.weight))
            x = self.last(nn.functional.gelu(self.transform(x)))
            return x @ self.embed.weight.T + self.bias

    return Net()


def _torch_encoder(torch: Any, width: int, depth: int, first: bool) -> Any:
    """PyTorch's own blocks, without dropout; first: whether they normalise first."""
    layer = torch.nn.TransformerEncoderLayer(
        width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=first
    )
    return torch.nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


def _permuted(torch: Any, axes: tuple[int, ...]) -> Any:
    class Permuted(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.permute(*axes)

    return Permuted()
