"""Models from seeds: a stream hands out seeds and builds models, and is advanced by what it gives back."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import UInt32

from matrinox.contract import contract
from matrinox.rand.stream import KeyStream, Seed

Make = Callable[[KeyStream], Any]
"""Of a stream, which it takes its keys from, a model."""


@contract
def manual_seed(seed: Seed) -> KeyStream:
    """The stream of a seed, which stands where other libraries set a global one: hand it on to what draws.

    **Arguments:** `seed`: as for `KeyStream`, a whole number `()` or a key.
    **Returns:** a `KeyStream`.
    **Raises:** as `KeyStream`.
    **Source:** TorchLean, `manualSeed`.

    >>> stream = manual_seed(0)
    >>> key, stream = stream.next()
    """
    return KeyStream(seed)


@contract
def fresh_seed(stream: KeyStream) -> tuple[UInt32[Array, ""], KeyStream]:
    """The next seed of a stream, and the stream behind it: `seed, stream = fresh_seed(stream)`.

    **Arguments:** `stream`: as it was left by what drew from it before.
    **Returns:** `(seed, stream)`; `int(seed)` is a seed for `KeyStream`, for NumPy, or for a log.
    **Raises:** `RuntimeError` while tracing, for a stream that is a constant of the traced function, where each run
    would repeat the seed.
    **Source:** TorchLean, `freshSeed`.

    >>> seed, stream = fresh_seed(manual_seed(0))
    >>> seed == fresh_seed(manual_seed(0))[0], seed == fresh_seed(stream)[0]
    (Array(True, dtype=bool), Array(False, dtype=bool))
    """
    key, stream = stream.next()
    return jax.random.bits(key, dtype=jnp.uint32), stream


@contract
def build(make: Make, seed: Seed | KeyStream) -> Any:
    """The model that `make` gives for the stream of a seed: a function of the seed alone.

    Where `make` asks for its keys by name, a layer that is added or taken away leaves the draws of the others as they
    are.

    **Arguments:** `make`: takes a `KeyStream` and gives a model; `seed`: as for `KeyStream`, a whole number `()`
    or a key, or a stream.
    **Returns:** what `make` gives.
    **Raises:** as `KeyStream`, and what `make` raises.
    **Source:** TorchLean, `build`.

    >>> from matrinox import nn
    >>> def make(keys):
    ...     encoder = nn.Dense(p=2, q=3, n=4, key=keys.key("encoder"))
    ...     return nn.Sequential([encoder, nn.ReLU(), nn.Dense(p=3, q=5, n=4, key=keys.key("head"))])
    >>> build(make, 0).shapes((2, 4, 4))
    ((2, 4, 4), (3, 4, 4), (3, 4, 4), (5, 4, 4))
    """
    return make(seed if isinstance(seed, KeyStream) else KeyStream(seed))


@contract
def with_model(make: Make, stream: KeyStream, use: Callable[[Any], Any]) -> tuple[Any, KeyStream]:
    """What `use` gives for the model of the next seed, and the stream behind it.

    **Arguments:** `make`: as for `build`; `stream`: which the seed is drawn from; `use`: takes the model.
    **Returns:** `(use(build(make, key)), stream)`, for the key that `stream.next` gives.
    **Raises:** as `fresh_seed`, and what `make` and `use` raise.
    **Source:** TorchLean, `withModel`.

    >>> from matrinox import nn
    >>> make = lambda keys: nn.Dense(p=2, q=3, n=4, key=keys.key("layer"))
    >>> size, stream = with_model(make, manual_seed(0), lambda layer: layer.weight.size)
    >>> size
    96
    """
    key, stream = stream.next()
    return use(build(make, key)), stream
