"""A self-organising map spreads over a square as evenly as the data do.

Data: points drawn evenly from the unit square, 2,000 to learn from and 4,000 for the test.
Cost: 2 s on two CPU cores, compiling aside. Scores: test/quantisation_error 0.0479 (5 seeds, sd
0.0000), where the 64 cells of a chess board have 0.0478; test/topographic_error 0.

    python -m jaxdl.launch square_som --cells hexagonal
"""

from typing import Literal

from jaxdl.analysis import maps
from jaxdl.data import batches, square
from jaxdl.learners import competitive
from jaxdl.run import AtMost, Run


def experiment(
    side: int = 8,
    cells: Literal["square", "hexagonal"] = "square",
    first_radius: float = 8.0,
    last_radius: float = 0.45,
    points: int = 2000,
    steps: int = 100,
) -> Run:
    """Kohonen's batch map; at first every unit pulls all others along, which leaves no twist."""
    train, test = square.load(points)
    grid = competitive.Grid(side, side, cells)
    radius = competitive.shrinking(first_radius, last_radius, max(1, steps - 1))
    return Run(
        learner=competitive.batch_map(grid, radius),
        train=batches.shuffled(train, points),
        tests={"test": batches.once(test, 1000)},
        steps=steps,
        summaries={
            "map/distances": lambda state, key: maps.distance_picture(grid, state),
            "map/components": lambda state, key: maps.component_planes(grid, state),
            "map/hits": lambda state, key: maps.hit_picture(grid, state, test["input"]),
        },
        expect=(
            AtMost("test/quantisation_error", 1.03 * square.TO_CENTRE / 8),
            AtMost("test/topographic_error", 0.0),
        ),
    )
