"""`LanguageModel`: an embedding, a body and a read-out over the vocabulary, for tokens all at once or step by step."""

import math

import equinox as eqx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.contract.axes import read_axes
from matrinox.nn.child import Layer, call_child, require_callable, split_key
from matrinox.nn.embedding import Embedding
from matrinox.nn.joint import Told, layer_name, pass_through, unequal
from matrinox.nn.linear import check_sizes
from matrinox.nn.stepping import initial_caches, require_parts, step_child


@contract
class LanguageModel(eqx.Module):
    """Tokens to logits of the next token, `head(body(embedding(x)))`: `(*batch, t)` to `(*batch, t, vocabulary)`.

    The body is any layer, or chain of them, in which no token sees a later one. Where it can step, so can the model:
    `step` takes the next tokens and what the body keeps of those before, the keys and values of attention or the state
    of a recurrence, and gives what a call gives for the whole sequence. In a `Sequential`, `Residual` or `Stack`
    of them, transformers with `causal=True`, recurrent layers, positions and what takes each token by itself all step.

    Without a head the read-out is tied: logits are `embedding.attend(h) / √(p·n·n)`, of variance 1 at first. Where the
    body hands a token on, as a `Residual` does, the token's own is about √(p·n·n) at first, and has to be unlearnt.

    **Arguments:** `embedding`: the tokens' rows; `body`: `(*batch, t, p, n, n)` to the same, or to what the head takes;
    `head`: a layer to `(*batch, t, vocabulary)`, such as `FlattenLinear` with `features=vocabulary`, or `None` to read
    out by the embedding's table.
    **Raises:** `ContractError`, when built, naming both layers of a joint that does not fit; `TypeError` for what is
    not callable.
    **Source:** Press and Wolf 2017, arXiv 1608.05859, for the tied read-out; Raffel et al. 2020, arXiv 1910.10683, for
    its factor.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn.transformer_stack import TransformerEncoder
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> body = TransformerEncoder(p=4, n=3, layers=2, heads=2, causal=True, rotary=True, key=k1)
    >>> model = LanguageModel(Embedding(vocabulary=65, p=4, n=3, key=k0), body)
    >>> model(jnp.zeros((32, 10), int)).shape
    (32, 10, 65)
    >>> cache, logits = model.step(model.initial_cache(length=10, batch_shape=(32,)), jnp.zeros((32, 1), int))
    >>> logits.shape
    (32, 1, 65)
    """

    embedding: Embedding
    body: Layer
    head: Layer | None

    def __init__(self, embedding: Embedding, body: Layer, head: Layer | None = None):
        self.embedding = embedding
        self.body = body
        self.head = head
        require_callable({"body": body} if head is None else {"body": body, "head": head})
        axes = read_axes("*batch {self.p} {self.n} {self.n}", {"self": embedding}, {})
        came = pass_through("body", body, Told(layer_name("embedding", embedding), axes))
        if head is not None:
            pass_through("head", head, came)
        elif isinstance(came, Told) and (fact := unequal(axes, came.axes)):
            raise ContractError(
                f"{layer_name('embedding', embedding)} reads out what it gives, but {came}: {fact}. Give a `head`, or "
                "a body that gives what it takes."
            )

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return self.embedding.vocabulary

    @property
    def p(self) -> int:
        """Neurons of a token."""
        return self.embedding.p

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.embedding.n

    def __call__(
        self,
        x: Integer[AnyArray, "*batch t"] | Float[AnyArray, "*batch t {self.vocabulary}"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch t {self.vocabulary}"]:
        """The logits of the token behind each.

        **Arguments:** `x`: ids `(*batch, t)` of integers, or distributions over the tokens `(*batch, t, vocabulary)` of
        floats; `key`: split over body and head.
        **Returns:** `(*batch, t, vocabulary)`.
        **Raises:** `ContractError` for other axes; `ValueError` for an id outside 0 … vocabulary − 1, where values are
        known, and else as body and head raise.
        """
        body_key, head_key = split_key(key, 2)
        y, _ = call_child(self.body, self.embedding(x), None, body_key)
        return self._read_out(y) if self.head is None else call_child(self.head, y, None, head_key)[0]

    def initial_cache(
        self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
    ) -> tuple[PyTree, ...]:
        """What the model keeps of a sequence that is taken by `step`, before its first token.

        **Arguments:** `length`: how many tokens there is room for; `batch_shape`: their leading axes; `dtype`: of what
        is kept, where `None` that of the weights, and of a recurrent state at least float32.
        **Returns:** that of the body, and of the head if there is one.
        **Raises:** `ValueError` for a `length` below 1, or beyond the positions of a layer; `TypeError`, with its path,
        for a layer that cannot step.
        """
        check_sizes(length=length)
        return initial_caches(self._stepped(), length, batch_shape, dtype)

    def step(
        self, cache: tuple[PyTree, ...], x: Integer[AnyArray, "*batch t"], *, key: PRNGKeyArray | None = None
    ) -> tuple[tuple[PyTree, ...], Float[Array, "*batch t {self.vocabulary}"]]:
        """The next tokens of a sequence, one or more: portion by portion, this gives what a call gives for the whole.

        **Arguments:** `cache`: as `initial_cache` gives it, or the step before; `x`: ids `(*batch, t)`; `key`: split
        over body and head.
        **Returns:** `(cache, logits)`, logits `(*batch, t, vocabulary)`. While tracing, where the place is unknown,
        tokens beyond the length of the cache give NaN.
        **Raises:** as for a call; `ContractError` for another cache; `ValueError` for tokens beyond its length.
        """
        layers = self._stepped()
        parts, after, y = require_parts(cache, len(layers)), [], self.embedding(x)
        for (path, layer), part, layer_key in zip(layers.items(), parts, split_key(key, len(layers)), strict=True):
            part, y = step_child(path, layer, part, y, layer_key)
            after.append(part)
        return tuple(after), self._read_out(y) if self.head is None else y

    def _stepped(self) -> dict[str, Layer]:
        return {"body": self.body} if self.head is None else {"body": self.body, "head": self.head}

    def _read_out(self, y: Array) -> Array:
        return self.embedding.attend(y) / math.sqrt(self.p * self.n * self.n)
