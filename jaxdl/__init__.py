"""jaxdl: a JAX functional research toolkit."""

from jaxdl import backend

__version__ = "0.1.0"

backend.prepare()
