"""`Lambda`, a layer from a function, or from one for training and another for inference."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, Shaped

from matrinox.contract import AnyArray, contract


@contract
class Lambda(eqx.Module):
    """Applies `train` in training and `inference_fn` in inference; without the latter, `train` always.

    A function with a parameter named `key` is handed the key. Either may be a module: it trains like any other, and is
    itself switched to inference.

    **Arguments:** `train`, `inference_fn`: `f(x)` or `f(x, key=key)`; `inference`: start in inference, which
    `eqx.nn.inference_mode` switches.
    **Raises:** `ContractError` for what cannot be called.

    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> noise = Lambda(lambda x, key: x + jax.random.normal(key, x.shape), lambda x: x)
    >>> eqx.nn.inference_mode(noise)(jnp.ones((2, 4, 4))).shape
    (2, 4, 4)
    """

    train: Callable[..., Any]
    inference_fn: Callable[..., Any] | None
    inference: bool

    def __init__(
        self, train: Callable[..., Any], inference_fn: Callable[..., Any] | None = None, *, inference: bool = False
    ):
        self.train = train
        self.inference_fn = inference_fn
        self.inference = inference

    def __call__(self, x: Shaped[AnyArray, "..."], *, key: PRNGKeyArray | None = None) -> Shaped[Array, "..."]:
        """Applies the function of the mode.

        **Arguments:** `x`: of any shape that the function takes; `key`: handed on, unless it is `None`, to a function
        that has the parameter.
        **Returns:** what the function gives, an array of any shape.
        **Raises:** `ValueError` if the function needs a key and there is none; `ContractError` if `x`, or what the
        function gives, is not an array.
        """
        fn = self.train if self.inference_fn is None or not self.inference else self.inference_fn
        parameter = _key_parameter(fn)
        if self.inference:
            # `eqx.nn.inference_mode` stops at the first `inference` it meets, which is ours.
            fn = eqx.nn.inference_mode(fn)
        if parameter is not None and key is not None:
            return fn(jnp.asarray(x), key=key)
        if parameter is not None and parameter.default is inspect.Parameter.empty:
            mode = "inference" if self.inference else "training"
            raise ValueError(f"`key` (=None) is needed by the function of this Lambda in {mode}: pass a key.")
        return fn(jnp.asarray(x))


def _key_parameter(fn: Callable[..., Any]) -> inspect.Parameter | None:
    try:
        return inspect.signature(fn).parameters.get("key")
    except (TypeError, ValueError):
        # Some built-in functions have no signature to read.
        return None
