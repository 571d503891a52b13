"""Settings that must stand before JAX starts its backend. Only the standard library is imported
here.

jaxlib 0.10.2's fused CPU kernels give a silently wrong sum under vmap (jax-ml/jax#39103) and crash
on reductions of high-rank arrays (jax-ml/jax#40412); switching that kind of fusion off cures both.
`python -m jaxdl.launch --doctor` and tests/test_backend.py show the faults and their absence.
"""

import os
import sys
import warnings
from importlib import metadata

FUSION_FLAG = "xla_cpu_experimental_ynn_fusion_type"
AFFECTED = ("0.10.", "0.11.")  # 0.9 knows no such flag and aborts on it; it has neither fault


def prepare() -> None:
    """Put the flags JAX needs on this machine into the environment; a user's own choice stays."""
    if not metadata.version("jaxlib").startswith(AFFECTED):
        return
    flags = os.environ.get("XLA_FLAGS", "")
    if FUSION_FLAG in flags:
        return
    os.environ["XLA_FLAGS"] = f"{flags} --{FUSION_FLAG}=".strip()
    if _backend_started():
        warnings.warn(
            "jaxdl must be imported before JAX runs its first computation: the flags that guard "
            "against known faults of this jaxlib came too late. Import jaxdl first.",
            stacklevel=3,
        )


def _backend_started() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bridge.backends_are_initialized()
