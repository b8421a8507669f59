import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.nn.cache import KVCache, KVMemory


def empty(length=4, *batch, index=0, dtype=jnp.float32):
    zeros = jnp.zeros((*batch, length, 2, 1, 1), dtype)
    return KVCache(zeros, zeros, jnp.asarray(index))


def tokens(t, value=1.0, *batch):
    return jnp.full((*batch, t, 2, 1, 1), value)


def test_tokens_are_kept_one_after_another():
    cache = empty().append(tokens(2, 1.0), tokens(2, 5.0)).append(tokens(1, 2.0), tokens(1, 6.0))
    assert cache.keys[:, 0].ravel().tolist() == [1, 1, 2, 0]
    assert cache.values[:, 1].ravel().tolist() == [5, 5, 6, 0]
    assert (int(cache.index), cache.length, cache.batch_shape) == (3, 4, ())


def test_the_cache_keeps_its_dtype():
    cache = empty(dtype=jnp.bfloat16).append(tokens(2), np.ones((2, 2, 1, 1)))
    assert cache.keys.dtype == cache.values.dtype == jnp.bfloat16


def test_tokens_that_do_not_fit_are_refused_or_while_tracing_become_nan():
    new = tokens(2)
    with pytest.raises(
        ValueError, match=r"`index` \+ t \(=3 \+ 2\) must be at most `length` \(=4\): choose a `length` of 5"
    ):
        empty(index=3).append(new, new)
    with pytest.raises(ValueError, match=r"`index` \+ t \(=0 \+ 5\) must be at most `length` \(=4\)"):
        jax.jit(lambda cache: cache.append(tokens(5), tokens(5)))(empty())
    run = jax.jit(lambda index: empty(index=index).append(new, new))
    assert np.isnan(run(3).keys).any()
    assert np.isnan(run(3).values).any()
    assert run(2).keys[:, 0].ravel().tolist() == [0, 0, 1, 1]


def test_a_cache_is_mapped_with_places_of_its_own():
    caches = jax.vmap(lambda index: empty(index=index))(jnp.array([0, 2]))
    cache = jax.vmap(lambda cache: cache.append(tokens(1), tokens(1)))(caches)
    assert cache.keys[..., 0, 0, 0].tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]


def test_other_axes_are_refused():
    with pytest.raises(ContractError, match=r"KVCache.append got keys .*\(2, t, kv=2, n=1, n=1\): axis 0 is 3, not 2"):
        empty(4, 2).append(tokens(1, 1.0, 3), tokens(1, 1.0, 3))
    with pytest.raises(ContractError, match=r"KVCache.append got values .*: axis -1 is 2, n is 1|axis 2 is 2, n is 1"):
        empty().append(tokens(1), jnp.ones((1, 2, 2, 1)))
    for kind, rest in ((KVMemory, ()), (KVCache, (jnp.asarray(0),))):
        with pytest.raises(ContractError, match=rf"{kind.__name__}.* values .*: axis -4 is 3, length is 4"):
            kind(tokens(4), tokens(3), *rest)
