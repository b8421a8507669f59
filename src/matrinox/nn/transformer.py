"""`TransformerEncoderBlock`: self-attention and a feed-forward layer, with residuals and normalisation."""

import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.activation_choice import Activation
from matrinox.nn.attention import MultiheadAttention
from matrinox.nn.cache import KVCache
from matrinox.nn.child import split_key
from matrinox.nn.dropout import Dropout
from matrinox.nn.linear import check_sizes
from matrinox.nn.norm_choice import Norm
from matrinox.nn.transformer_block import (
    BaseTransformerBlock,
    branch_norm,
    feed_forward_of,
    last_of_attention,
    last_of_mlp,
    shrunk,
)


@contract
class TransformerEncoderBlock(BaseTransformerBlock):
    """Tokens that attend to one another, then a feed-forward layer on each: `(*batch, t, p, n, n)` to the same.

    `x ← x + attention(norm(x))`, `x ← x + feed_forward(norm(x))`; with `pre_norm=False`, as in the first transformer
    and by default in PyTorch, `x ← norm(x + attention(x))`, `x ← norm(x + feed_forward(x))`. The former trains deep
    stacks without a warm-up, and needs one more normalisation behind the last block, as `TransformerEncoder` has it.
    With `causal=True` it is the block of a decoder-only language model, and can step token by token.

    **Arguments:** `p`, `n`: neurons of a token, and matrix side; `heads`, `kv_heads`, `head_size`, `causal`, `rotary`,
    `chunk`: as for `MultiheadAttention`; `hidden`: neurons of the feed-forward layer, 4·p where `None`; `activation`:
    in it, a name, a layer or a function as for `MLP`; `norm`: `"layer"`, `"rms"`, or a function of p and n that gives a
    layer; `pre_norm`: whether to normalise before each branch, or behind each sum; `dropout`: of the attention's
    weights, of hidden entries and of what each branch adds; `depth`: how many blocks there are in a row: with
    `pre_norm` the last weights of both branches are drawn smaller by `1/√(2·depth)`, as in GPT-2, so that entries of
    variance 1 have at most about 2 behind all of them; `use_bias`: of the dense layers; `initializer`: of all weights;
    where `None`, one under which entries keep their variance; `dtype`: of weights, the default float where `None`;
    `key`: one key.
    **Raises:** `ValueError` for a size below 1, if `heads` does not divide p, for a rate out of range, for an unknown
    name, with the nearest one, and for a `norm` that is stateful.
    **Source:** Vaswani et al. 2017, arXiv 1706.03762; Xiong et al. 2020, arXiv 2002.04745, on `pre_norm`; TorchLean,
    `transformerEncoderBlock`.

    >>> import jax, jax.numpy as jnp
    >>> block = TransformerEncoderBlock(p=4, n=3, heads=2, key=jax.random.key(0))
    >>> block(jnp.ones((32, 10, 4, 3, 3))).shape
    (32, 10, 4, 3, 3)
    """

    def __init__(
        self,
        p: int,
        n: int,
        *,
        heads: int,
        hidden: int | None = None,
        activation: Activation = "gelu",
        norm: Norm = "layer",
        pre_norm: bool = True,
        dropout: float = 0.0,
        causal: bool = False,
        rotary: bool | float = False,
        kv_heads: int | None = None,
        head_size: int | None = None,
        chunk: int | None = None,
        depth: int = 1,
        use_bias: bool = True,
        initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, n=n, heads=heads, depth=depth)
        attention_key, feed_forward_key = jax.random.split(key)
        attention = MultiheadAttention(
            *(p, n),
            heads=heads,
            kv_heads=kv_heads,
            head_size=head_size,
            causal=causal,
            rotary=rotary,
            dropout=dropout,
            chunk=chunk,
            use_bias=use_bias,
            initializer=initializer or lecun_normal,
            dtype=dtype,
            key=attention_key,
        )
        feed_forward = feed_forward_of(
            *(p, n, hidden),
            activation=activation,
            dropout=dropout,
            use_bias=use_bias,
            initializer=initializer,
            dtype=dtype,
            key=feed_forward_key,
        )
        self.attention = shrunk(attention, last_of_attention, 2 * depth, pre_norm)
        self.attention_norm = branch_norm(norm, p, n, dtype)
        self.feed_forward = shrunk(feed_forward, last_of_mlp, 2 * depth, pre_norm)
        self.feed_forward_norm = branch_norm(norm, p, n, dtype)
        self.dropout = Dropout(dropout)
        self.pre_norm = pre_norm

    def __call__(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        mask: Bool[AnyArray, "..."] | None = None,
        bias: Float[AnyArray, "..."] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch t {self.p} {self.n} {self.n}"]:
        """Applies the block.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `mask`: True where a key takes part, `bias`: added to the scores,
        both broadcast to `(*batch, heads, t, t)`; `key`: needed in training if there is dropout.
        **Returns:** `(*batch, t, p, n, n)`.
        **Raises:** `ContractError` for other axes; `ValueError` if dropout has no key.
        """
        inner, behind, *rest = split_key(key, 4)
        y = self.attention(self._taken(self.attention_norm, x), mask=mask, bias=bias, key=inner)
        return self._fed_forward(self._added(self.attention_norm, x, y, behind), *rest)

    def initial_cache(self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> KVCache:
        """An empty cache for `step`.

        **Arguments:** `length`: how many tokens it has room for; `batch_shape`: the leading axes of the tokens;
        `dtype`: of what is kept, that of the weights where `None`.
        **Returns:** a `KVCache`.
        **Raises:** `ValueError` for a size below 1, and without `causal=True`.
        """
        self._require_causal()
        return self.attention.initial_cache(length, batch_shape, dtype)

    def step(
        self,
        cache: KVCache,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        mask: Bool[AnyArray, "..."] | None = None,
        bias: Float[AnyArray, "..."] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[KVCache, Float[Array, "*batch t {self.p} {self.n} {self.n}"]]:
        """The next tokens, one or more, which see those in the cache: equal to the call on all tokens at once.

        **Arguments:** `cache`: as `initial_cache` gives it, or the step before; `x`: `(*batch, t, p, n, n)`; `mask`,
        `bias`: over the places of the cache; `key`: as for a call.
        **Returns:** `(cache, y)`, y `(*batch, t, p, n, n)`.
        **Raises:** as for a call; `ValueError` without `causal=True`.
        """
        self._require_causal()
        inner, behind, *rest = split_key(key, 4)
        cache, y = self.attention.step(cache, self._taken(self.attention_norm, x), mask=mask, bias=bias, key=inner)
        return cache, self._fed_forward(self._added(self.attention_norm, x, y, behind), *rest)
