"""Made ratings of items by users, one to five stars, of which a part is seen: the truth is known.

A rating is 3 + u·w + noise, rounded to whole stars, with a few hidden tastes u of a user and w of
an item. The paper's data, Netflix's, are no longer given away.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from jaxdl import errors
from jaxdl.data import splits
from jaxdl.nn import limits

STARS = 5


class Ratings(NamedTuple):
    """What is shown of each user, and what is asked for.

    shown: `input`, float32 (users, items, 5), 1 at the stars given and 0 where nothing is shown;
        `observed`, of the same shape, 1 for all five where something is.
    asked: beside these `target`, the stars given (users, items), and `mask`, 1 where one is asked
        for: never where it is shown.
    floor: the mean squared error, of what is asked, of who knows all tastes and not the noise.
    means: that of who guesses each item's mean among what is shown.
    """

    shown: dict[str, np.ndarray]
    asked: dict[str, np.ndarray]
    floor: float
    means: float


def make(
    users: int = 2000,
    items: int = 100,
    tastes: int = 3,
    seen: float = 0.3,
    noise: float = 0.5,
    seed: int = 0,
) -> Ratings:
    """seen: the share of ratings that exist; of them a fifth is asked for, the others are shown.

    noise: its standard deviation in stars, where tastes have 1.
    """
    for name, count in (("users", users), ("items", items), ("tastes", tastes)):
        limits.at_least(1, f"ratings' {name}", count)
    if not 0 < seen <= 1:
        raise errors.InputError(f"ratings' seen must be in (0, 1], got {seen}.")
    random = np.random.default_rng(seed)
    user, item = random.normal(size=(users, tastes)), random.normal(size=(items, tastes))
    truth = 3 + user @ item.T / np.sqrt(tastes)
    stars = np.clip(np.rint(truth + noise * random.normal(size=truth.shape)), 1, STARS)
    draw = random.random(truth.shape)
    shown, asked = draw < 0.8 * seen, (draw >= 0.8 * seen) & (draw < seen)
    observed = np.repeat(shown[..., None], STARS, 2).astype(np.float32)
    given = {"input": observed * (stars[..., None] == np.arange(1, 6)), "observed": observed}
    given["input"] = given["input"].astype(np.float32)
    wanted = {"target": stars.astype(np.float32), "mask": asked.astype(np.float32)}
    mean = (stars * shown).sum(0) / np.maximum(shown.sum(0), 1)
    return Ratings(
        given,
        given | wanted,
        float(np.square(_expected(truth, noise) - stars)[asked].mean()),
        float(np.square(mean[None] - stars)[asked].mean()),
    )


def planted(
    users: int = 500,
    items: int = 400,
    tastes: int = 5,
    seen: float = 0.1,
    noise: float = 0.5,
    seed: int = 0,
) -> splits.Split:
    """Ratings one by one, real numbers and not stars: user's bias + item's + u·w + noise.

    Their deviations are 0.5, 0.5, 1 and `noise`. Inputs int32 (n, 2), a user and an item, targets
    float32 (n,). A share `seen` of all pairs is to learn from, as many others are the test: there
    the error of a guess of the mean is 1.32, and nobody's is less than the noise.
    """
    for name, count in (("users", users), ("items", items), ("tastes", tastes)):
        limits.at_least(1, f"ratings' {name}", count)
    count = int(users * items * seen)
    if not 0 < count <= users * items // 2:
        raise errors.InputError(f"ratings' seen must leave half for the test, got {seen}.")
    random = np.random.default_rng(seed)
    user, item = random.normal(size=(users, tastes)), random.normal(size=(items, tastes))
    pairs = random.permutation(users * items)[: 2 * count]
    index = np.stack([pairs // items, pairs % items], axis=1).astype(np.int32)
    bias = 0.5 * random.normal(size=users)[index[:, 0]]
    bias += 0.5 * random.normal(size=items)[index[:, 1]]
    truth = bias + (user[index[:, 0]] * item[index[:, 1]]).sum(1) / np.sqrt(tastes)
    target = (truth + noise * random.normal(size=truth.shape)).astype(np.float32)
    return splits.Split(
        {"input": index[:count], "target": target[:count]},
        {"input": index[count:], "target": target[count:]},
    )


def _expected(truth: np.ndarray, noise: float) -> np.ndarray:
    """The mean number of stars: one, and one more for each border that the rating is above."""
    borders = np.arange(1.5, STARS)
    return 1 + special.ndtr((truth[..., None] - borders) / max(noise, 1e-9)).sum(-1)
