"""`generate`: a language model goes on with a text, token by token, in one compiled loop."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jaxtyping import Integer, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.functional.sampling import require_key, require_temperature, require_top_k, require_top_p, sample_tokens
from matrinox.nn.base_recurrent import shapes_of
from matrinox.nn.child import call_child
from matrinox.nn.stepping import CannotStep, steps_of


@contract
def generate(
    model: Callable[..., Any],
    prompt: Integer[AnyArray, "*batch t"],
    *,
    length: int,
    lengths: Integer[AnyArray, "*batch"] | None = None,
    key: PRNGKeyArray | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: int | None = None,
    padding: int | None = None,
    cached: bool | None = None,
    window: int | None = None,
    state: eqx.nn.State | None = None,
) -> Integer[Array, "*batch {length}"]:
    """The tokens with which a language model goes on behind a prompt, each drawn given all before it.

    A model that can step, as `nn.LanguageModel` can, takes the prompt once and then token by token, with a cache of
    keys and values or a recurrent state. Any other is called on the whole context for every token: it must be causal,
    as what is not there yet is given as token 0. Both give the same. The model is put in inference mode.

    **Arguments:** `model`: tokens `(*batch, t)` to logits `(*batch, t, vocabulary)`; `prompt`: ids `(*batch, t)`, one
    token or more; `length`: tokens to give; `lengths`: `(*batch)`, for prompts that differ in length: how many tokens
    of each, from the left, are its own, and what stands behind them is not read; `key`: a fixed one gives fixed tokens,
    not needed at temperature 0; `temperature`, `top_k`, `top_p`: as for `functional.sample_tokens`; `stop`: the token
    that ends a sequence, behind which it is `padding`, the stop token again where `None`; the loop ends when all have,
    and one in a prompt ends nothing; `cached`: True to refuse a
    model that cannot step, False to call it on the whole context all the same; `window`: show the model the last
    `window` tokens alone, without a cache, which lets it go on beyond its positions; `state`: of a stateful model,
    which is called without a cache, and stays as it is.
    **Returns:** ids, `(*batch, length)`, without the prompt: those behind its own tokens.
    **Raises:** `ValueError` for a `length` or `window` below 1, an empty prompt, `lengths`, an id, `top_k`, `top_p` or
    `temperature` out of range, a missing key, and a context longer than the positions of the model; `ContractError`
    for a model that gives no logits of each token; `TypeError`, with `cached=True`, for one that cannot step;
    `FloatingPointError` where logits are not finite.

    >>> def count(tokens):
    ...     return 9.0 * jax.nn.one_hot((tokens + 1) % 7, 7)
    >>> generate(count, jnp.array([[2, 3], [4, 5]]), length=4, temperature=0, stop=0)
    Array([[4, 5, 6, 0],
           [6, 0, 0, 0]], dtype=int32)
    """
    if prompt.shape[-1] < 1:
        raise ValueError("`prompt` has 0 tokens, and must have at least 1: begin with some token.")
    for name, value in (("length", length), ("window", 1 if window is None else window)):
        if value < 1:
            raise ValueError(f"`{name}` (={value}) must be at least 1: choose how many tokens.")
    require_temperature(temperature)
    if top_p is not None:
        require_top_p(top_p, "top_p")
    # As arrays, which compile once for all their values.
    share = None if top_p is None else jnp.asarray(top_p, float)
    drawn = None if temperature == 0 else (require_key(key, temperature), jnp.asarray(temperature, float), share)
    model = eqx.nn.inference_mode(model)
    reader, vocabulary = _reader_of(model, prompt, length, cached, window, state)
    first = _known(prompt, lengths, vocabulary)
    for name, number in (("stop", stop), ("padding", padding)):
        if number is not None:
            _require_ids(name, np.asarray(number), vocabulary)
    if top_k is not None:
        require_top_k(top_k, vocabulary, "top_k")
    fill = padding if padding is not None else stop if stop is not None else 0
    own = jnp.full(prompt.shape[:-1], prompt.shape[-1]) if lengths is None else jnp.asarray(lengths).astype(int)
    tokens, ill = _generated(reader, jnp.asarray(prompt, jnp.int32), own, drawn, first, length, top_k, stop, fill)
    if not isinstance(ill, Tracer) and ill < length:
        raise FloatingPointError(
            f"the logits of token {int(ill)} behind a prompt are not finite: look for NaN in the model's weights, "
            "or for a cache that is too short."
        )
    return tokens


class _Cached(eqx.Module):
    """Logits of the next token, by steps."""

    model: Any
    room: int = eqx.field(static=True)

    def start(self, before: Array) -> PyTree:
        steps = steps_of(self.model)
        cache = steps.initial_cache(self.room, before.shape[:-1])
        return steps.step(cache, before)[0] if before.shape[-1] else cache

    def follow(self, kept: PyTree, last: Array, place: Array) -> tuple[PyTree, Array]:
        del place
        kept, logits = steps_of(self.model).step(kept, last[..., None])
        return kept, _of_each(logits, last[..., None])[..., 0, :]


class _Whole(eqx.Module):
    """Logits of the next token, from the whole context, or the last `window` of it, each time."""

    model: Any
    state: eqx.nn.State | None
    room: int = eqx.field(static=True)
    window: int | None = eqx.field(static=True)

    def start(self, before: Array) -> PyTree:
        behind = jnp.zeros((*before.shape[:-1], self.room - before.shape[-1]), before.dtype)
        return jnp.concatenate([before, behind], axis=-1)

    def follow(self, kept: PyTree, last: Array, place: Array) -> tuple[PyTree, Array]:
        context = kept.at[..., place].set(last)
        size = self.room if self.window is None else min(self.window, self.room)
        first = jnp.maximum(place + 1 - size, 0)
        seen = jax.lax.dynamic_slice_in_dim(context, first, size, -1)
        if self.state is None:
            logits, _ = call_child(self.model, seen, None, None)
        else:
            logits, _ = self.model(seen, self.state)
        return context, jax.lax.dynamic_index_in_dim(_of_each(logits, seen), place - first, -2, keepdims=False)


def _of_each(logits: Any, tokens: Array) -> Array:
    """The logits, of as many tokens as there are."""
    if not eqx.is_array(logits) or logits.ndim != tokens.ndim + 1 or logits.shape[:-1] != tokens.shape:
        raise ContractError(
            f"`model` gives {shapes_of(logits)} of tokens {tokens.shape}: it must give logits of each, "
            "(*batch, t, vocabulary)."
        )
    return logits


def _reader_of(
    model: Any,
    prompt: AnyArray,
    length: int,
    cached: bool | None,
    window: int | None,
    state: eqx.nn.State | None,
) -> tuple[_Cached | _Whole, int]:
    """What reads the model, and how many logits it gives."""
    plain = "window" if window is not None else "state" if state is not None else None
    if cached and plain is not None:
        raise ValueError(f"`cached` (=True) must not be chosen beside `{plain}`, which no step takes: leave it out.")
    room = prompt.shape[-1] + length - 1
    whole = _Whole(model, state, room, window)
    ids = jax.ShapeDtypeStruct(prompt.shape, jnp.int32)

    def logits(reader: Any, ids: Array) -> Array:
        return reader.follow(reader.start(ids[..., :-1]), ids[..., -1], jnp.asarray(0))[1]

    if cached is not False and plain is None:
        steps = _Cached(model, room)
        try:
            return steps, eqx.filter_eval_shape(logits, steps, ids).shape[-1]
        except CannotStep:
            if cached:
                raise
    return whole, eqx.filter_eval_shape(logits, whole, ids).shape[-1]


def _known(prompt: AnyArray, lengths: AnyArray | None, vocabulary: int) -> int:
    """How many tokens all prompts have at least."""
    t = prompt.shape[-1]
    if lengths is None:
        _require_ids("prompt", prompt, vocabulary)
        return t
    if isinstance(lengths, Tracer):
        return 1
    numbers = np.asarray(lengths)
    outside = numbers[(numbers < 1) | (numbers > t)]
    if outside.size:
        raise ValueError(
            f"`lengths` (={outside.flat[0]}) must be from 1 to the {t} tokens of `prompt`: count the tokens of each."
        )
    if not isinstance(prompt, Tracer):
        _require_ids("prompt", np.asarray(prompt)[np.arange(t) < numbers[..., None]], vocabulary)
    return int(numbers.min(initial=t))


def _require_ids(name: str, ids: AnyArray, vocabulary: int) -> None:
    if isinstance(ids, Tracer):
        return
    numbers = np.asarray(ids)
    outside = numbers[(numbers < 0) | (numbers >= vocabulary)]
    if outside.size:
        raise ValueError(
            f"`{name}` (={outside.flat[0]}) must be from 0 to below {vocabulary}, the tokens of the model: encode with "
            "the tokenizer that it was trained with."
        )


@eqx.filter_jit
def _generated(
    reader: _Cached | _Whole,
    prompt: Array,
    own: Array,
    drawn: tuple[Array, Array, Array | None] | None,
    first: int,
    length: int,
    top_k: int | None,
    stop: int | None,
    fill: int,
) -> tuple[Array, Array]:
    """The tokens, and the first place where logits were not finite, `length` where there is none.

    The first tokens, which all prompts have, are taken at once; from there on a sequence that is still in its prompt
    goes on with that.
    """
    *batch, t = prompt.shape

    def choose(logits: Array, place: Array) -> Array:
        if drawn is None:
            return sample_tokens(logits, temperature=0)
        key, temperature, top_p = drawn
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        return sample_tokens(logits, key=jax.random.fold_in(key, place - first), **options)

    def unfinished(carry: tuple[Any, ...]) -> Array:
        place, _, _, ended, ill = carry
        return (place < t + length) & ~jnp.all(ended) & (ill == length)

    def advance(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        place, kept, tokens, ended, ill = carry
        last = jax.lax.dynamic_index_in_dim(tokens, place - 1, -1, keepdims=False)
        kept, logits = reader.follow(kept, last, place - 1)
        read = place < own
        # −∞ is a token that never comes; where all are, or one is NaN or +∞, there is nothing to draw from.
        sound = jnp.isfinite(jnp.max(logits, axis=-1)) | ended | read
        ill = jnp.min(jnp.where(sound, ill, place - own), initial=length)
        here = jax.lax.dynamic_index_in_dim(tokens, place, -1, keepdims=False)
        token = jnp.where(read, here, jnp.where(ended, fill, choose(logits, place))).astype(tokens.dtype)
        stopped = False if stop is None else ~read & (token == stop)
        ended = ended | stopped | (place + 1 >= own + length)
        return place + 1, kept, tokens.at[..., place].set(token), ended, ill

    tokens = jnp.concatenate([prompt, jnp.zeros((*batch, length), prompt.dtype)], axis=-1)
    tokens = jnp.where(jnp.arange(t + length) < own[..., None], tokens, fill)
    start = (jnp.asarray(first), reader.start(prompt[..., : first - 1]), tokens)
    *_, tokens, _, ill = jax.lax.while_loop(unfinished, advance, (*start, jnp.zeros(batch, bool), jnp.asarray(length)))
    return jnp.take_along_axis(tokens, own[..., None] + jnp.arange(length), axis=-1), ill
