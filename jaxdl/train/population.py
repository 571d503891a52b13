"""Members that run together as a population: who goes on from where, once all have been judged.

Breeding: the members judged worst go on from the states of the best, with hyperparameters that are
a little changed or drawn anew (population-based training: Jaderberg et al. 2017). Halving: the
worse half is given up, the better one goes on for twice as long (successive halving: Jamieson and
Talwalkar 2016).
"""

import functools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.train import books as bookkeeping
from jaxdl.train import checkpoint, record
from jaxdl.train import program as programs

SHARE = 0.2  # of the members that are replaced, and of those they go on from: Jaderberg et al., A.1
FACTORS = (0.8, 1.2)  # one of which each hyperparameter is multiplied with: likewise
# Or it is drawn anew, as often as in Ray Tune (`resample_probability`): factors alone do not get
# far in a range of decades. Both are in Jaderberg et al., as `perturb` and `resample`.
RESAMPLED = 0.25


class Breeding(NamedTuple):
    """priors: of each hyperparameter that varies numbers as likely as one another, from the lowest
    to the highest, within which it stays.
    """

    priors: Mapping[str, Sequence[float]]

    def select(
        self,
        program: programs.Program,
        books: Sequence[bookkeeping.Books],
        scores: np.ndarray,
        carry: programs.Carry,
        step: int,
    ) -> programs.Carry:
        """The members' carry after it; program and books are told of their hyperparameters."""
        evolve = exploit(self.priors, len(books))
        carry, *rest = program.evolved(evolve, scores, carry, step)
        values, parents = jax.device_get(rest)
        for i, one in enumerate(books):
            # The shortest decimal of each, which is the same number to the program.
            one.values = {name: float(str(x[i])) for name, x in values.items()}
            if parents[i] != i:
                one.failed = None  # another's state is in its place
            shown = {**one.values, "parent": float(parents[i])}
            one.write(step, {f"population/{name}": value for name, value in shown.items()})
        adopt(program, books)
        return carry


class Rung(NamedTuple):
    """Of halving: run until this step, and keep so many of the members."""

    until: int
    keep: int

    def select(
        self,
        program: programs.Program,
        books: Sequence[bookkeeping.Books],
        scores: np.ndarray,
        carry: programs.Carry,
        step: int,
    ) -> programs.Carry:
        """The same carry; the books of the worst are ended. Of equals the first stay."""
        order = np.argsort(-scores[: len(books)], kind="stable")
        for i in order[self.keep :] if step == self.until else ():
            books[i].ended = books[i].ended or (step, record.GIVEN_UP)
        return carry


Population = Breeding | Rung


class Before(NamedTuple):
    """The rung before: its folder, how many members its program has, which of them go on."""

    folder: pathlib.Path
    members: int
    rows: Sequence[int]


def exploit(priors: Mapping[str, Sequence[float]], members: int) -> Callable[..., Any]:
    """(scores, carry, who, step) -> the carry, the hyperparameters, and from whom each goes on.

    All have a leading axis of members, of which there may be more than `members`: the others stay
    as they are and are nobody's parents. scores: the highest is the best; -inf was not judged.
    A member among the worst SHARE, or not judged, takes over all of one of the best SHARE, by
    chance, and multiplies each hyperparameter by one of FACTORS or draws it anew from its prior.
    """
    count = max(1, math.floor(SHARE * members))

    def evolve(scores: Any, carry: Any, who: Any, step: Any) -> Any:
        # 0 to 4 are the program's; who draws is the population, by its first member's key.
        draw, change = jax.random.split(jax.random.fold_in(jax.random.fold_in(who.key[0], 5), step))
        places = jnp.arange(len(scores))
        order = jnp.argsort(-scores, stable=True)
        rank = jnp.zeros_like(order).at[order].set(places)
        worse = ((rank >= members - count) | jnp.isneginf(scores)) & (places < members)
        worse &= ~jnp.isneginf(scores[order[0]])  # all have failed: there is nobody to go on from
        best = jnp.minimum(count, jnp.sum(~jnp.isneginf(scores)))
        chosen = order[jax.random.randint(draw, scores.shape, 0, jnp.maximum(best, 1))]
        parents = jnp.where(worse, chosen, places)
        carry = jax.tree.map(lambda x: x[parents], carry)
        values = {}
        for i, (name, prior) in enumerate(sorted(priors.items())):
            value = _explored(jax.random.fold_in(change, i), who.values[name][parents], prior)
            values[name] = jnp.where(worse, value, who.values[name])
        return carry, values, parents

    return evolve


def _explored(key: Any, values: Any, prior: Sequence[float]) -> Any:
    """Each is changed by a factor, or drawn anew."""
    which, turn, drawn = jax.random.split(key, 3)
    up = jax.random.bernoulli(turn, 0.5, values.shape)
    changed = jnp.clip(values * jnp.where(up, FACTORS[1], FACTORS[0]), prior[0], prior[-1])
    anew = jax.random.choice(drawn, jnp.asarray(prior, values.dtype), values.shape)
    return jnp.where(jax.random.bernoulli(which, RESAMPLED, values.shape), anew, changed)


def rungs(members: int, steps: int, every: int) -> list[Rung]:
    """Of n members half are kept at each rung, the last of which is the end of the run.

    Each rung has about the same number of steps in all, its members twice as many each as of the
    one before: with r = ceil(log2 n) rungs the first is of steps / (2^r - 1). every: steps between
    evaluations, at one of which a rung ends; rungs that would end at the same one are one.
    """
    count = max(1, math.ceil(math.log2(members)))
    found: list[Rung] = []
    for i in range(count):
        share = (2 ** (i + 1) - 1) / (2**count - 1)
        until = min(steps, max(every, round(share * steps / every) * every))
        until = steps if i == count - 1 else until
        if found and found[-1].until == until:
            found.pop()
        found.append(Rung(until, math.ceil(members / 2 ** (i + 1))))
    return found


def adopt(program: programs.Program, books: Sequence[bookkeeping.Books]) -> None:
    """The program goes on with what the members' hyperparameters have become."""
    if any(one.values is not None for one in books):
        own = [one.values for one in books]
        before = program.family.values
        program.adopt([own[i] or x if i < len(own) else x for i, x in enumerate(before)])


def restored(before: Before, shape: Any, warn: Callable[[str], None]) -> checkpoint.Restored | None:
    """The last checkpoint of the rung before, as of the members that go on from it.

    shape: of what a checkpoint holds of them; they may be fewer than its program has members, which
    the last one fills up.
    """
    many = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((before.members, *x.shape[1:]), x.dtype), shape
    )
    with checkpoint.Checkpoints(before.folder / "checkpoints") as saved:
        found = saved.restore(many, warn)
    if found is None:
        return None
    size = jax.tree.leaves(shape)[0].shape[0]
    rows = jnp.asarray([*before.rows, *[before.rows[-1]] * (size - len(before.rows))])
    place = functools.partial(_placed, rows)
    members = [found.meta["members"][row] for row in before.rows]
    return found._replace(
        tree=jax.tree.map(place, found.tree, shape), meta=found.meta | {"members": members}
    )


def _placed(rows: Any, x: Any, like: Any) -> Any:
    """These rows, in buffers of their own, where the program has them."""
    return jax.device_put(x[rows], getattr(like, "sharding", None))
