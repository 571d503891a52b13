"""A teacher that follows its student: a moving average of all of the student's variables.

Tarvainen and Valpola, "Mean teachers are better role models" (2017). It lives in the collection
"teacher" of a gradient learner's state, where an objective finds it; no gradient reaches it.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import learner
from jaxdl.learners import gradient
from jaxdl.nn import limits


def begun(variables: gradient.Variables) -> gradient.Variables:
    """A student's first variables, with a teacher that is the same."""
    return variables | {"teacher": jax.tree.map(jnp.copy, variables)}


def apart(variables: gradient.Variables) -> tuple[gradient.Variables, gradient.Variables]:
    """The student's variables and the teacher's, which are cut off from differentiation.

    Collections that the teacher does not have are the objective's own, and neither's.
    """
    guide = variables["teacher"]
    return {name: variables[name] for name in guide}, jax.lax.stop_gradient(guide)


def followed(taught: learner.Learner, decay: gradient.Scalar) -> learner.Learner:
    """A gradient learner after each of whose steps teacher = decay teacher + (1 - decay) student.

    decay: in [0, 1]. Batch statistics are averaged as the parameters are.
    """
    limits.share("decay", decay)

    def step(state: gradient.State, batch: Any, key: Any) -> tuple[gradient.State, learner.Metrics]:
        after, measured = taught.step(state, batch, key)
        student, guide = apart({"params": after.params, **after.statistics})
        moved = jax.tree.map(lambda t, s: t + (1 - decay) * (s - t), guide, student)
        return after._replace(statistics=after.statistics | {"teacher": moved}), measured

    return taught._replace(step=step)
