"""Derivatives that carry units, by saiunit, an extra."""

from typing import Any

import jax


def engine(unit_aware: bool) -> Any:
    """The library whose `grad`, `jacfwd`, `jacrev` and `hessian` are used: JAX, or saiunit for what has units.

    **Raises:** `ImportError` if units are asked for and saiunit is not installed.
    """
    if not unit_aware:
        return jax
    try:
        import saiunit.autograd
    except ImportError as error:
        raise ImportError('`unit_aware=True` needs saiunit: `pip install "matrinox[units]"`.') from error
    return saiunit.autograd
