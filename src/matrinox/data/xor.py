"""Tokens of matrix neurons whose class is the exclusive or of two signs, with noise of a known rate."""

import hashlib
import json

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float32, Int32, Integer

from matrinox.contract import AnyArray, contract
from matrinox.data.examples import Examples
from matrinox.rand import KeyStream

# Changed whenever the same settings would give other tokens.
_VERSION = 1


@contract
class XorTokens(Examples):
    """Tokens of standard normal neurons, made when they are asked for: is the mean of the first, or the last, above 0?

    The class is the exclusive or of the two, each mean over all tokens and entries; then, with probability `flip`, it
    is the other one. No linear map of the entries tells it, nor does a neuron, an entry or a token by itself. Every
    example depends on the seed and its own number alone.

    **Arguments:** `examples`: how many; `tokens`, `p`, `n`: of an example, its neurons and their side; `flip`: from 0
    to 0.5; `seed`: from 0 to 2³² − 1.
    **Raises:** `ValueError` for a number out of range.
    **Source:** MATNETS 1.1.0, the example of a transformer, whose settings are the defaults.

    >>> import jax.numpy as jnp
    >>> examples = XorTokens(1000)
    >>> inputs, targets = examples.gather(jnp.arange(4))
    >>> inputs.shape, targets.shape, examples.bayes_rate
    ((4, 7, 3, 2, 2), (4,), 0.65)
    """

    examples: int = eqx.field(static=True)
    tokens: int = eqx.field(static=True)
    p: int = eqx.field(static=True)
    n: int = eqx.field(static=True)
    flip: float = eqx.field(static=True)
    seed: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, examples: int, *, tokens: int = 7, p: int = 3, n: int = 2, flip: float = 0.35, seed: int = 0):
        for what, count, least in (("examples", examples, 1), ("tokens", tokens, 1), ("p", p, 2), ("n", n, 1)):
            if count < least:
                raise ValueError(f"`{what}` (={count}) must be {least} or more: choose a larger number.")
        if not 0 <= flip <= 0.5:
            raise ValueError(f"`flip` (={flip}) must be from 0 to 0.5: beyond, the classes change their names.")
        # It refuses seeds out of range.
        KeyStream(seed)
        self.examples, self.tokens, self.p, self.n = examples, tokens, p, n
        self.flip, self.seed, self.name = flip, seed, "xor-tokens"

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return 2

    @property
    def bayes_rate(self) -> float:
        """The expected accuracy of the best classifier that there can be: it knows the class before the flip."""
        return 1 - self.flip

    def __len__(self) -> int:
        return self.examples

    def gather(
        self, rows: Integer[AnyArray, " batch"]
    ) -> tuple[Float32[Array, "batch {self.tokens} {self.p} {self.n} {self.n}"], Int32[Array, " batch"]]:
        """The examples of these numbers.

        **Arguments:** `rows`: `(batch,)`, each from 0 to below the number of examples, which nothing checks.
        **Returns:** tokens `(batch, tokens, p, n, n)` and classes `(batch,)`.
        **Raises:** `ContractError` if `rows` is not one axis of integers.
        """
        return _gather(self, jnp.asarray(rows))

    def fingerprint(self) -> str:
        """SHA-256 of the settings, which decide every example."""
        settings = [_VERSION, self.examples, self.tokens, self.p, self.n, self.flip, self.seed]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()


@eqx.filter_jit
def _gather(self: XorTokens, rows: Array) -> tuple[Array, Array]:
    def example(row: Array) -> tuple[Array, Array]:
        # Of 32 bits: with JAX's switch for 64 it would draw others.
        of_inputs, of_flip = jax.random.split(jax.random.fold_in(root, row))
        x = jax.random.normal(of_inputs, (self.tokens, self.p, self.n, self.n), jnp.float32)
        flipped = jax.random.uniform(of_flip, (), jnp.float32) < self.flip
        first, last = (jnp.mean(x[:, neuron]) > 0 for neuron in (0, -1))
        return x, (first ^ last ^ flipped).astype(jnp.int32)

    root = KeyStream(self.seed).root
    return jax.vmap(example)(rows)
