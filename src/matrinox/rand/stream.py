"""Key streams: random keys by name and by position, pure, so that no draw depends on the order of others."""

import hashlib
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jaxtyping import Integer, Key, PRNGKeyArray, UInt32

from matrinox.contract import AnyArray, contract

# Each use of a stream folds in its own tag first: a key by position never equals one by name, a child's or a drawn one.
_POSITION, _NAME, _CHILD_POSITION, _CHILD_NAME, _DRAWN = range(5)

Seed: TypeAlias = int | np.integer | Integer[AnyArray, ""] | PRNGKeyArray
"""What a stream starts from: a whole number from 0 to 2³² − 1, or a key."""


@contract
class KeyStream(eqx.Module):
    """Any number of independent keys from one seed: `stream.key(name)` depends on the seed and the name alone.

    A stream never changes; adding, removing or reordering names leaves the keys of the others as they were.

    **Arguments:** `seed`: a whole number from 0 to 2³² − 1 (an int, or a 0-d array, which may be traced), or a key
    (`jax.random.key`, or the older `uint32[2]` of `jax.random.PRNGKey`).
    **Raises:** `ContractError` if `seed` is neither; `ValueError` for a number out of range.

    >>> import jax
    >>> stream = KeyStream(0)
    >>> bool(stream.key("encoder") == KeyStream(0).key("encoder"))
    True
    >>> stream.split(3).shape
    (3,)
    >>> key, stream = stream.next()
    """

    root: Key[Array, ""] | UInt32[Array, "2"]
    position: UInt32[Array, ""]

    def __init__(self, seed: Seed):
        if isinstance(seed, int | np.integer) or (jnp.ndim(seed) == 0 and jnp.issubdtype(seed.dtype, jnp.integer)):
            if not isinstance(seed, Tracer):
                # JAX keeps the lowest 32 bits: the seed 2³² would repeat the keys of 0.
                seed = int(seed)
                _require_32_bits("seed", seed, "choose a seed in this range, or pass a key")
            # Named, so that no switch of JAX changes what a seed gives.
            self.root = jax.random.key(seed, impl="threefry2x32")
        else:
            self.root = jnp.asarray(seed)
        self.position = jnp.zeros((), jnp.uint32)

    def key(self, name: str | int | Integer[AnyArray, ""]) -> PRNGKeyArray:
        """The key of a name, or of a position, which may be traced (a step's number inside `jit`, say).

        **Arguments:** `name`: text, or a whole number from 0 to 2³² − 1; one that is traced, and so is not known yet,
        wraps: −1 is then 2³² − 1.
        **Returns:** a key, a 0-d array (`(2,)` for a stream of older keys).
        **Raises:** `ValueError` if a position is negative or too large.
        """
        return _fold(self.root, _NAME if isinstance(name, str) else _POSITION, name)

    def split(self, count: int) -> Key[Array, " {count}"] | UInt32[Array, "{count} 2"]:
        """The keys of the positions 0 … count − 1: `stream.split(count)[i]` is `stream.key(i)`, whatever the count.

        **Arguments:** `count`: how many.
        **Returns:** keys, `(count,)` (`(count, 2)` for a stream of older keys).
        **Raises:** `ValueError` if `count` is negative.
        """
        if count < 0:
            raise ValueError(f"`count` (={count}) must be at least 0: ask for as many keys as you use.")
        return jax.vmap(self.key)(jnp.arange(count, dtype=jnp.uint32))

    def child(self, name: str | int | Integer[AnyArray, ""]) -> "KeyStream":
        """The stream of a part: its keys depend on this stream's seed, on `name`, and on what is asked of it.

        **Arguments:** `name`: as for `key`.
        **Returns:** a new stream, none of whose keys is one of this stream's.
        **Raises:** `ValueError` if a position is negative or too large.
        """
        return KeyStream(_fold(self.root, _CHILD_NAME if isinstance(name, str) else _CHILD_POSITION, name))

    def next(self) -> tuple[PRNGKeyArray, "KeyStream"]:
        """The next key, and the stream advanced by one: `key, stream = stream.next()`.

        **Returns:** a key (as `key` gives it) and the stream behind it; keys by name stay as they were.
        **Raises:** `RuntimeError` while tracing, for a stream that is a constant of the traced function.
        """
        _refuse_to_repeat(self.root)
        key = _fold(self.root, _DRAWN, self.position)
        return key, eqx.tree_at(lambda stream: stream.position, self, self.position + 1)


def _fold(root: PRNGKeyArray, tag: int, name: str | int | Integer[AnyArray, ""]) -> PRNGKeyArray:
    key = jax.random.fold_in(root, tag)
    if isinstance(name, str):
        # Two words of the digest: with one, 80,000 names would collide somewhere with probability 1/2.
        digest = hashlib.sha256(name.encode()).digest()
        for word in (digest[:4], digest[4:8]):
            key = jax.random.fold_in(key, int.from_bytes(word, "big"))
        return key
    if not isinstance(name, Tracer):
        name = int(name)
        _require_32_bits("name", name, "use text for other names")
    return jax.random.fold_in(key, name)


def _require_32_bits(name: str, value: int, remedy: str) -> None:
    if not 0 <= value < 2**32:
        raise ValueError(f"`{name}` (={value}) must be from 0 to 2³² − 1: {remedy}.")


def _refuse_to_repeat(root: Any) -> None:
    # Inside jit, scan and the like a new array is a tracer, and a stream that came in as an argument or a carry is of
    # its trace, under those of `vmap` and `jvp`. Any other is a constant there: the body is traced once, and every run
    # would draw the same keys.
    here = jnp.zeros(())
    if not isinstance(here, Tracer):
        return
    while isinstance(root, Tracer) and root._trace is not here._trace:
        root = getattr(root, "val", getattr(root, "primal", None))
    if not isinstance(root, Tracer):
        raise RuntimeError(
            "`KeyStream.next` cannot advance a stream that is a constant of a traced function, where every run would "
            "repeat the same keys: pass the stream in as an argument and return it, or use `stream.key(step)`."
        )
