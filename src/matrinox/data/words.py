"""Word problems of finite groups: what the product of a word's elements is, after each of them."""

import hashlib
import json
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int32, Integer

from matrinox.contract import AnyArray, contract
from matrinox.data.examples import Examples
from matrinox.data.groups import group_table
from matrinox.rand import KeyStream

Targets = Literal["prefixes", "last"]

# Changed whenever the same settings would give other words.
_VERSION = 1


@contract
class GroupWords(Examples):
    """Words over a finite group, made when they are asked for, and their products: `h_t = x_t · h_(t−1)`, `h_0 = e`.

    So `h_t = x_t · … · x_1`, the later element on the left, as in the matrix recurrence `H_t = A(x_t) @ H_(t−1)`. Each
    token of a word is drawn alike among `tokens`, and each length among `min_length` … `length`; after its end a word
    is filled up with the token `padding`, which leaves the product as it is. Every word depends on the seed and its
    own number alone. Other seeds draw other words, but short words over few tokens come up again in them: choose a
    length for which there are many more words, `len(tokens) ** length`, than examples.

    **Arguments:** `group`: a name that `group_table` takes; `length`: tokens in a word; `examples`: how many words;
    `seed`: from 0 to 2³² − 1; `tokens`: what words are made of, elements of the group by name, such as the generators
    `("(1 2)", "(1 2 3 4 5)")`, or all in their order where `None`; `min_length`: of the shortest words, or `None` for
    words all of one length; `targets`: `"prefixes"` for the product after each token, `"last"` for that of the whole
    word.
    **Raises:** `ValueError` for an unknown group, element or choice, for a number out of range, and if an element comes
    twice; `ContractError` for wrong types.

    >>> import jax.numpy as jnp
    >>> words = GroupWords("A5", length=32, examples=1000)
    >>> inputs, targets = words.gather(jnp.arange(4))
    >>> inputs.shape, targets.shape, words.vocabulary, words.classes
    ((4, 32), (4, 32), 60, 60)
    """

    table: Int32[Array, "order order"]
    letters: Int32[Array, " letters"]
    group: str = eqx.field(static=True)
    tokens: tuple[str, ...] = eqx.field(static=True)
    length: int = eqx.field(static=True)
    min_length: int = eqx.field(static=True)
    examples: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)
    targets: Targets = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(
        self,
        group: str = "A5",
        *,
        length: int,
        examples: int,
        seed: int = 0,
        tokens: tuple[str, ...] | None = None,
        min_length: int | None = None,
        targets: Targets = "prefixes",
    ):
        found = group_table(group)
        tokens = found.elements if tokens is None else tokens
        min_length = length if min_length is None else min_length
        for what, count in (("length", length), ("examples", examples)):
            if count < 1:
                raise ValueError(f"`{what}` (={count}) must be 1 or more: choose one such as 32.")
        if not 1 <= min_length <= length:
            raise ValueError(
                f"`min_length` (={min_length}) must be from 1 to `length` (={length}): leave it out for one length."
            )
        if not tokens or len(set(tokens)) < len(tokens):
            raise ValueError(f"`tokens` (={tokens}) must be elements of {group}, at least one, each once: None is all.")
        # It refuses seeds out of range.
        KeyStream(seed)
        # The last is for padding.
        self.letters = jnp.asarray([*map(found.number, tokens), found.identity], jnp.int32)
        self.table = jnp.asarray(found.table)
        self.group, self.tokens, self.targets = group, tokens, targets
        self.length, self.min_length, self.examples, self.seed = length, min_length, examples, seed
        self.name = f"{group}-words"

    @property
    def vocabulary(self) -> int:
        """How many token ids there are, `padding` among them if words are filled up."""
        return len(self.tokens) + (self.min_length < self.length)

    @property
    def padding(self) -> int:
        """The token id that fills words up, one above those of `tokens`."""
        return len(self.tokens)

    @property
    def classes(self) -> int:
        """How many elements the group has, which the targets are numbers of."""
        return self.table.shape[0]

    def __len__(self) -> int:
        return self.examples

    def gather(
        self, rows: Integer[AnyArray, " batch"]
    ) -> tuple[Int32[Array, "batch length"], Int32[Array, "batch ..."]]:
        """The words of these numbers and their products.

        **Arguments:** `rows`: `(batch,)`, each from 0 to below the number of examples, which nothing checks.
        **Returns:** token ids `(batch, length)`, the numbers of `tokens` in their order; and numbers of elements as in
        `group_table`, `(batch, length)` for `"prefixes"` and `(batch,)` for `"last"`.
        **Raises:** `ContractError` if `rows` is not one axis of integers.
        """
        return _gather(self, jnp.asarray(rows))

    def fingerprint(self) -> str:
        """SHA-256 of the settings, which decide every word."""
        settings = [_VERSION, self.group, self.length, self.min_length, self.examples, self.seed, self.targets]
        return hashlib.sha256(json.dumps([*settings, self.tokens]).encode()).hexdigest()


@eqx.filter_jit
def _gather(self: GroupWords, rows: Array) -> tuple[Array, Array]:
    def word(row: Array) -> Array:
        # Of 32 bits: with JAX's switch for 64 it would draw others.
        of_length, of_tokens = jax.random.split(jax.random.fold_in(root, row))
        drawn = jax.random.randint(of_tokens, (self.length,), 0, len(self.tokens), jnp.int32)
        end = jax.random.randint(of_length, (), self.min_length, self.length + 1, jnp.int32)
        return jnp.where(jnp.arange(self.length) < end, drawn, self.padding)

    def step(product: Array, element: Array) -> tuple[Array, Array]:
        product = self.table[element, product]
        return product, product

    root = KeyStream(self.seed).root
    words = jax.vmap(word)(rows)
    last, prefixes = jax.lax.scan(step, jnp.full(rows.shape, self.letters[-1]), self.letters[words].T)
    return words, prefixes.T if self.targets == "prefixes" else last
