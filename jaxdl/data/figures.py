"""Made figures, each seen in many ways: who is it, where there are far more of them than digits?

A figure is a few soft spots in a field of 16×16 pixels, as a face is eyes, nose and mouth: their
places and sizes are who it is. Each picture of it is turned, moved, lit and noisy by chance.
"""

import numpy as np
from jaxtyping import Float

from jaxdl import errors
from jaxdl.data import splits

SIDE, _SPOTS = 16, 5


def load(seen: int = 200, unseen: int = 40, pictures: int = 20, seed: int = 0) -> splits.Split:
    """So many pictures of each figure: `seen` figures to learn from, others for the test.

    Inputs float32 (n, 16, 16, 1), targets int32 (n,), the figure's number within its part.
    """
    if min(seen, unseen, pictures) < 2:
        raise errors.InputError(
            f"Figures and pictures must be at least 2, got {seen}, {unseen} and {pictures}."
        )
    random = np.random.default_rng(seed)
    parts = []
    for count in (seen, unseen):
        places = random.uniform(-4, 4, (count, 1, _SPOTS, 2))
        sizes = random.uniform(0.8, 1.8, (count, 1, _SPOTS))
        images = _seen(random, places, sizes, pictures)
        target = np.repeat(np.arange(count, dtype=np.int32), pictures)
        parts.append({"input": images.reshape(-1, SIDE, SIDE, 1), "target": target})
    return splits.Split(*parts)


def _seen(
    random: np.random.Generator,
    places: Float[np.ndarray, "n 1 s 2"],
    sizes: Float[np.ndarray, "n 1 s"],
    pictures: int,
) -> Float[np.ndarray, "n p h w"]:
    """Turned by up to 20°, moved by up to 2 pixels, lit by 0.6 to 1.4, noise of 0.1."""
    shape = (len(places), pictures)
    angle = np.deg2rad(random.uniform(-20, 20, shape))
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1)
    centre = (SIDE - 1) / 2 + random.uniform(-2, 2, (*shape, 1, 2))
    spots = np.einsum("npij,nsj->npsi", turn.reshape(*shape, 2, 2), places[:, 0]) + centre
    away = np.arange(SIDE) - spots[..., None]  # (n, p, s, 2, side)
    soft = np.exp(-(away**2) / (2 * sizes[..., None, None] ** 2))
    images = np.einsum("npsh,npsw->nphw", soft[..., 0, :], soft[..., 1, :])
    images *= random.uniform(0.6, 1.4, (*shape, 1, 1))
    return (images + 0.1 * random.standard_normal(images.shape)).astype(np.float32)
