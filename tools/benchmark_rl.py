"""Proximal policy optimisation beside Stable-Baselines3's, in steps of CartPole per CPU-second.

    python tools/benchmark.py --rl                     # needs stable-baselines3, user-installed

Both have the same settings, networks, epochs and one thread (more make so small work slower);
compiling is not counted. The ways take turns; a ratio is that of the medians. It falls with the
number of environments, as Python's share falls: it is told with the setting. The exit code is 1
where a floor is missed.
"""

import functools
import importlib
import json
import os
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import optax
import rich.console
import rich.table

from jaxdl import errors
from jaxdl import run as runs
from jaxdl.envs import cartpole
from jaxdl.learners import on_policy
from jaxdl.models import actor_critic
from jaxdl.train import program

RATE, EPSILON, EPOCHS, MINIBATCHES = 2.5e-4, 1e-5, 4, 4
CLIP, ENTROPY, VALUE, NORM = 0.2, 0.01, 0.5, 0.5
UPDATES = 100_000  # over which the learning rate falls; no more than a few are timed

Advance = Callable[[int], int]  # at least so many environment steps -> how many they were


class Row(NamedTuple):
    """A setting: environments, the length of a rollout, the seeds at once, and the least ratio.

    published: PureJaxRL's ratio to Stable-Baselines3 in the same measure, where it is known.
    """

    title: str
    environments: int
    length: int
    seeds: int
    floor: float
    published: float | None


# PureJaxRL's ppo.py (146b485, gymnax 0.0.9) and Stable-Baselines3 2.9.2 took turns with this on a
# CPU core, 2026-11-24: 152,000, 184,000 and 190,000 steps per CPU-second, against 6,350 and 25,800.
ROWS = {
    "few": Row("4 environments × 128 steps", 4, 128, 1, 20.0, 23.9),
    "many": Row("64 environments × 32 steps", 64, 32, 1, 5.0, 7.1),
    "seeds": Row("16 seeds of 4 × 128, beside one", 4, 128, 16, 30.0, 29.9),
}


class Measured(NamedTuple):
    """What a row came to: steps per CPU-second of both, and the ratio."""

    row: str
    ours: float
    theirs: float | None

    @property
    def ratio(self) -> float | None:
        """Above 1 jaxdl is faster."""
        return None if self.theirs is None else self.ours / self.theirs

    @property
    def reached(self) -> bool:
        """Whether the ratio is at its floor; also where there is none."""
        return self.ratio is None or self.ratio >= ROWS[self.row].floor


def ours(row: Row) -> Advance:
    """jaxdl's loop without its books: the compiled chunks that a run, or a sweep, is made of."""
    schedule = optax.linear_schedule(RATE, 0.0, UPDATES * EPOCHS * MINIBATCHES)
    learner = on_policy.ppo(
        cartpole.make(),
        actor_critic.ActorCritic(2),
        optax.adam(schedule, eps=EPSILON),
        environments=row.environments,
        length=row.length,
        epochs=EPOCHS,
        minibatches=MINIBATCHES,
        clip_ratio=CLIP,
        clip_value=CLIP,
        entropy=ENTROPY,
        value=VALUE,
        clip=NORM,
    )
    run = runs.Run(learner=learner, train=None, steps=UPDATES)
    seeds = list(range(row.seeds))
    family = program.Family(lambda values: run, seeds, [{}] * row.seeds)
    made = program.Program(run, 0, None, family, together=row.seeds > 1)
    at, carry = 0, made.begin()
    size = row.environments * row.length * row.seeds

    def advance(least: int) -> int:
        nonlocal at, carry
        done, chunk = 0, made.layout.chunk
        while done < least:
            carry = made.advance(carry, None, at, chunk)
            at, done = at + chunk, done + chunk * size
        float(carry.totals["loss"].total.sum())  # wait for it
        return done

    return advance


def theirs(row: Row) -> Advance:
    """Stable-Baselines3's PPO; one seed, as it has no more."""
    library, torch = (_imported(name) for name in ("stable_baselines3", "torch"))
    gymnasium = _imported("gymnasium")
    vectorised = _imported("stable_baselines3.common.vec_env")
    torch.set_num_threads(1)
    make = functools.partial(gymnasium.make, "CartPole-v1")
    size = row.environments * row.length
    taught = library.PPO(
        "MlpPolicy",
        vectorised.DummyVecEnv([make] * row.environments),
        learning_rate=lambda left: RATE * left,
        n_steps=row.length,
        batch_size=size // MINIBATCHES,
        n_epochs=EPOCHS,
        clip_range=CLIP,
        clip_range_vf=CLIP,
        ent_coef=ENTROPY,
        vf_coef=VALUE,
        max_grad_norm=NORM,
        policy_kwargs={"optimizer_kwargs": {"eps": EPSILON}},
        device="cpu",
        seed=0,
    )

    def advance(least: int) -> int:
        before = taught.num_timesteps
        taught.learn(least, reset_num_timesteps=False)
        return taught.num_timesteps - before

    return advance


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise errors.MissingError(
            "The comparison must have stable-baselines3, which is not installed. "
            "Install it with pip install stable-baselines3, or leave it out with --without-torch."
        ) from None


def measure(name: str, repeats: int, with_torch: bool, seconds: float = 3.0) -> Measured:
    """Time a row's contenders in turn."""
    row = ROWS[name]
    contenders = {"ours": ours(row)} | ({"theirs": theirs(row)} if with_torch else {})
    least = {}
    for contender, advance in contenders.items():
        advance(1)  # compile, warm up
        least[contender] = max(1, int(seconds * _rate(advance, 1)))
    rates: dict[str, list[float]] = {contender: [] for contender in contenders}
    for _ in range(repeats):
        for contender, advance in contenders.items():
            rates[contender].append(_rate(advance, least[contender]))
    medians = {contender: statistics.median(found) for contender, found in rates.items()}
    return Measured(name, medians["ours"], medians.get("theirs"))


def _rate(advance: Advance, least: int) -> float:
    """Environment steps per second of all this process's threads."""
    start = time.process_time()
    return advance(least) / (time.process_time() - start)


def table(measured: Sequence[Measured]) -> rich.table.Table:
    """A line for each row."""
    out = rich.table.Table(title="PPO on CartPole, environment steps per CPU-second")
    for heading in ("setting", "jaxdl", "SB3", "/ SB3", "floor", "PureJaxRL / SB3"):
        out.add_column(heading, justify="left" if heading == "setting" else "right")
    for one in measured:
        row = ROWS[one.row]
        out.add_row(
            row.title,
            f"{one.ours:,.0f}",
            "" if one.theirs is None else f"{one.theirs:,.0f}",
            "" if one.ratio is None else f"{one.ratio:.1f}",
            f"{row.floor:g}",
            "" if row.published is None else f"{row.published:g}",
            style="" if one.reached else "red",
        )
    return out


def show(
    repeats: int, with_torch: bool, path: pathlib.Path | None, console: rich.console.Console
) -> int:
    """Print the table, and write it as JSON if asked; 0 where every floor is reached, else 1."""
    os.environ["NPROC"] = "1"  # XLA's threads; read where its backend starts, which it has not
    measured = [measure(name, repeats, with_torch) for name in ROWS]
    console.print(table(measured))
    if path is not None:
        figures = [one._asdict() | {"ratio": one.ratio} for one in measured]
        path.write_text(json.dumps(figures, indent=2) + "\n")
    return int(not all(one.reached for one in measured))
