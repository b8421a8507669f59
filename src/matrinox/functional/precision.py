"""How wide a sum is taken, and how exact its products are.

What takes `precision` and `accumulation_dtype` hands the first on to JAX as it is, takes the sums of a product in the
second, the bias among them, and casts them once, to the dtype it would have given without.
"""

from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from matrinox.contract import AnyArray
from matrinox.contract.nearest import nearest

Precision: TypeAlias = jax.lax.PrecisionLike
"""What `jax.lax.dot_general` takes: `None`, a name such as `"highest"`, a `jax.lax.Precision`, or a pair of these."""

_NAMES = ("default", "high", "highest", "fastest", "float32", "bfloat16", "bfloat16_3x", "tensorfloat32")


def widen(x: AnyArray) -> Array:
    """`x`, half precision as float32: a running sum in half precision stops growing, or overflows before the mean."""
    # First a JAX array: the dtype of a NumPy one may be wider than JAX is set to.
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def exact_product(a: Array, b: Array) -> Array:
    """`a @ b`, as exact as the dtype on every device: by default, some multiply float32 with fewer bits."""
    return jnp.matmul(a, b, precision="highest")


def require_precision(precision: Precision) -> None:
    """Refuses a name of a precision that JAX does not know.

    **Raises:** `ValueError`, with the nearest name.
    """
    pair = isinstance(precision, tuple)
    known = _NAMES if pair else (*_NAMES, *jax.lax.DotAlgorithmPreset.__members__)
    for name in precision if isinstance(precision, tuple) else (precision,):
        if isinstance(name, str) and name not in known:
            raise ValueError(
                f"`precision` (={name!r}) must be a name that JAX knows: did you mean {nearest(name, known)!r}?"
            )


def sum_dtype(accumulation_dtype: DTypeLike | None) -> str | None:
    """The dtype that sums are taken in, by name, as a layer keeps it; `None` leaves it to the compiler.

    **Raises:** `ValueError` if it is not of floats.
    """
    if accumulation_dtype is None:
        return None
    dtype = jnp.dtype(accumulation_dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"`accumulation_dtype` (={dtype}) must be a float dtype: use float32 for half precision.")
    # By name: NumPy's float64 equals None, so that `jit` would take one layer for the other.
    return jax.dtypes.canonicalize_dtype(dtype).name


def sum_dtype_of(accumulation_dtype: DTypeLike | None, inputs: np.dtype) -> str | None:
    """`sum_dtype`, for inputs of a dtype that are to be summed in it.

    **Raises:** `ValueError` also if it is narrower than that of the inputs.
    """
    dtype = sum_dtype(accumulation_dtype)
    if dtype is not None and jnp.promote_types(dtype, inputs) != dtype:
        raise ValueError(
            f"`accumulation_dtype` (={dtype}) must hold what is summed, of {inputs}: choose {inputs} or wider."
        )
    return dtype
