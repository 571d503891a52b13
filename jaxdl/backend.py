"""Settings that must stand before JAX starts its backend. Only the standard library is imported
here.

jaxlib 0.10.2's fused CPU kernels give a silently wrong sum under vmap (jax-ml/jax#39103) and crash
on reductions of high-rank arrays (jax-ml/jax#40412); switching that kind of fusion off cures both.
`python -m jaxdl.launch --doctor` and tests/test_backend.py show the faults and their absence.
"""

import contextlib
import ctypes
import os
import sys
import warnings
from importlib import metadata

FUSION_FLAG = "xla_cpu_experimental_ynn_fusion_type"
AFFECTED = ("0.10.", "0.11.")  # 0.9 knows no such flag and aborts on it; it has neither fault

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
MALLOC_CHOICES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def prepare() -> None:
    """Set what JAX needs on this machine; a user's own choice stays."""
    _keep_memory()
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


def _keep_memory() -> None:
    """Let glibc keep the memory that a computation frees for the next one.

    By default it hands blocks of over 32 MiB back to the system, so that the work space of every
    dispatch on CPU is mapped and cleared anew. This holds for the first arena alone, that of the
    main thread: hence `at_once`. One arena for all threads (MALLOC_ARENA_MAX=1) would slow small
    programs by 40 %.
    """
    if sys.platform != "linux" or any(name in os.environ for name in MALLOC_CHOICES):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        # Some releases of glibc refuse more than 32 MiB, and answer 0.
        if not mallopt(M_MMAP_THRESHOLD, 1 << 30):
            mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def at_once() -> None:
    """Let the CPU compute in the thread that dispatches, unless $JAX_CPU_ENABLE_ASYNC_DISPATCH says
    otherwise. It has no effect once the backend has started, nor where the CPU is several devices.

    A thread of JAX's own takes the work space from an arena that cannot keep it (`_keep_memory`): a
    ResNet-20 spends a quarter of its training step on 31,000 page faults, a small ViT a tenth. No
    program was seen to be slower: it would have all cores either way.
    """
    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" in os.environ:
        return
    import jax

    with contextlib.suppress(AttributeError):  # a release that leaves no choice
        jax.config.update("jax_cpu_enable_async_dispatch", False)


def _backend_started() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bridge.backends_are_initialized()
