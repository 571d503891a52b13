"""What attacks look like: attacked images below the plain ones, and the robustness curve."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxdl import errors, learner, summary
from jaxdl.analysis import attackable, attacks
from jaxdl.nn import perturbation

# Of the curves, one after another: Okabe and Ito (2008), which the colour-blind tell apart.
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0))
_PAPER, _GRID, _INK = (255, 255, 255), (225, 225, 225), (60, 60, 60)
_BETWEEN = 0.75  # the grey between images
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _RIGHT, _TOP, _LETTERS = 560, 340, 48, 44, 20, 36, 13  # pixels


def pictures(
    taught: learner.Learner,
    examples: learner.Batch,
    epsilon: perturbation.Scalar,
    attack: attacks.Attack = attacks.PGD,
) -> Callable[[Any, Any], summary.Image]:
    """A summary of a learner that classifies images: those of `examples` under attack, see
    `compared`.
    """
    attackable.learner(taught)
    attackable.batch(examples, attack.low, attack.high)
    if examples["input"].ndim != 4:
        found = attackable.shape(examples["input"])
        raise errors.InputError(f"Pictures of attacks must be of images (b, h, w, c), got {found}.")

    def show(state: Any, key: Any) -> summary.Image:
        moved = attacks.attacked(taught, state, examples, key, epsilon, attack)
        return compared(examples["input"], moved, attack.low, attack.high)

    return show


def compared(
    images: Float[Array | np.ndarray, "b h w c"],
    moved: Float[Array | np.ndarray, "b h w c"],
    low: float = 0.0,
    high: float = 1.0,
) -> summary.Image:
    """For each image a column, a pixel apart: as it is, as moved, and the change from black, the
    largest fall of all images, over grey, none, to white, the largest rise.
    """
    change = jnp.asarray(moved) - images
    largest = jnp.abs(change).max()
    change = 0.5 + change / jnp.where(largest > 0, 2 * largest, 1)
    plain, spoiled = ((jnp.asarray(x) - low) / (high - low) for x in (images, moved))
    rows = jnp.stack([plain, spoiled, change])
    if rows.shape[-1] not in (1, 3, 4):
        rows = rows.mean(-1, keepdims=True)
    beside = ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0))
    tiles = jnp.pad(rows, beside, constant_values=_BETWEEN)
    count, height, width, channels = tiles.shape[1:]
    whole = tiles.transpose(0, 2, 1, 3, 4).reshape(3 * height, count * width, channels)
    return summary.Image(np.asarray(jax.device_get(whole[:-1, :-1])))


def chart(
    epsilons: Sequence[float],
    shares: Mapping[str, Float[np.ndarray, "e"]],
    norm: perturbation.Norm = "linf",
) -> UInt8[np.ndarray, "h w 3"]:
    """The robustness curve: upwards the share that holds, to the right epsilon; of each attack a
    line.
    """
    paper = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(_LETTERS)
    most = max(epsilons) or 1.0
    floor, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def place(epsilon: Any, share: Any) -> tuple[float, float]:
        across, up = (right - _LEFT) * float(epsilon) / most, (floor - _TOP) * float(share)
        return _LEFT + across, floor - up

    for share in (0, 0.25, 0.5, 0.75, 1):
        draw.line([place(0, share), place(most, share)], _GRID)
        draw.text((_LEFT - 6, place(0, share)[1]), f"{share:.2f}", _INK, font, "rm")
    for epsilon in epsilons:
        draw.line([place(epsilon, 0), place(epsilon, 1)], _GRID)
        draw.text((place(epsilon, 0)[0], floor + 5), f"{epsilon:.4g}", _INK, font, "ma")
    draw.text(((_LEFT + right) / 2, _HEIGHT - 4), f"epsilon, {norm}", _INK, font, "ms")
    across = float(_LEFT)
    colours = itertools.cycle(_COLOURS)
    for colour, (name, values) in zip(colours, shares.items(), strict=False):
        points = [place(x, y) for x, y in zip(epsilons, values, strict=True)]
        draw.line(points, colour, 2)
        for x, y in points:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), colour)
        draw.text((across, _TOP - 24), name, colour, font)
        across += draw.textlength(name, font) + 16
    return np.asarray(paper)
