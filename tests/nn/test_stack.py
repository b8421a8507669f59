import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from layer_table.row import drawn

from matrinox import io, nn
from matrinox.contract import AnyArray, ContractError, contract
from matrinox.paths import find

KEYS = jax.random.split(jax.random.key(0), 4)
X = jax.random.normal(KEYS[3], (2, 2, 3, 3))


def dense(key=KEYS[0], p=2, q=2, **options):
    return nn.Dense(p=p, q=q, n=3, initializer=drawn, key=key, **options)


def block(key, rate=0.5, **options):
    return nn.Residual(nn.Sequential([dense(key, **options), nn.Tanh(), nn.Dropout(rate)]))


def blocks(depth=3, **options):
    return [block(key, **options) for key in KEYS[:depth]]


def test_a_stack_is_the_product_of_its_layers_by_hand():
    layers = [eqx.tree_at(lambda d: d.weight, dense(q=1, p=1), jnp.full((1, 1, 3, 3), w)) for w in (2.0, 3.0)]
    # Each product with a matrix of ones sums over three entries.
    np.testing.assert_allclose(nn.Stack(layers)(jnp.ones((1, 3, 3))), jnp.full((1, 3, 3), 6.0 * 9.0))


def test_scanned_equals_unrolled_in_value_gradient_and_keys():
    layers = blocks(2)

    @eqx.filter_jit
    def run(model, x, key):
        return eqx.filter_value_and_grad(lambda model: jnp.sum(model(x, key=key) ** 2))(model)

    unrolled, expected = run(nn.Sequential(layers), X, KEYS[3])
    for options in ({}, {"checkpoint": True, "unroll": True}):
        value, gradient = run(nn.Stack(layers, **options), X, KEYS[3])
        np.testing.assert_allclose(value, unrolled, rtol=1e-6)
        for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_paths_files_and_surgery_are_those_of_the_unrolled_layers(tmp_path):
    layers = blocks()
    stack, chain = nn.Stack(layers), nn.Sequential(layers)
    assert list(find(stack, "**")) == list(find(chain, "**"))
    io.save(tmp_path / "chain.safetensors", chain)
    loaded = io.load(tmp_path / "chain.safetensors", like=nn.Stack([block(key) for key in KEYS[1:]]))
    assert eqx.tree_equal(jax.tree.leaves(loaded), jax.tree.leaves(stack))
    edited = eqx.tree_at(lambda s: s.layers[1].body.layers[0].weight, stack, replace_fn=jnp.zeros_like)
    expected = eqx.tree_at(lambda s: s.layers[1].body.layers[0].weight, chain, replace_fn=jnp.zeros_like)
    edited, expected = eqx.nn.inference_mode((edited, expected))
    np.testing.assert_allclose(edited(X), expected(X), rtol=1e-6, atol=1e-6)


@contract
class Shifted(eqx.Module):
    """Adds what is shared, and keeps a running sum."""

    weight: Float[Array, "p n n"]

    def __call__(
        self, x: Float[AnyArray, "*batch p n n"], shift: AnyArray, *, twice: bool = False
    ) -> Float[Array, "*batch p n n"]:
        return self.weight * x + (2 * shift if twice else shift)

    def initial_cache(self, start: float) -> Array:
        return start * self.weight

    def step(self, cache: Array, x: AnyArray, *, key: object = None) -> tuple[Array, Array]:
        return cache + x, cache + x


def shifted():
    return [Shifted(jax.random.normal(key, (2, 3, 3))) for key in KEYS[:3]]


def test_every_layer_gets_the_arguments_that_are_shared():
    layers = shifted()
    x = X
    for layer in layers:
        x = layer(x, X[0], twice=True)
    np.testing.assert_allclose(nn.Stack(layers)(X, X[0], twice=True), x, rtol=1e-6)


def test_a_step_gives_each_layer_the_cache_of_its_own_back():
    layers, stack = shifted(), nn.Stack(shifted())
    caches, cache = [layer.initial_cache(2.0) for layer in layers], stack.initial_cache(2.0)
    np.testing.assert_allclose(cache, jnp.stack(caches))
    for x in X:
        cache, y = stack.step(cache, x, key=KEYS[0])
        for index, layer in enumerate(layers):
            caches[index], x = layer.step(caches[index], x)
        np.testing.assert_allclose(y, x, rtol=1e-6)
        np.testing.assert_allclose(cache, jnp.stack(caches), rtol=1e-6)


def test_a_step_takes_layers_that_step():
    with pytest.raises(TypeError, match=r"^layers\[\*\]: <lambda> cannot step: it has no `initial_cache` and `step`"):
        nn.Stack([lambda x: x]).step(None, X)
    stack = nn.Stack(shifted())
    with pytest.raises(
        ValueError, match=rf"`cache` \(of arrays such as float32\[2.*one for each of {len(shifted())} layers"
    ):
        stack.step(stack.initial_cache(2.0)[:2], X[0])


def test_the_program_does_not_grow_with_the_depth_but_for_the_stacking():
    def lines(depth):
        stack = nn.Stack([nn.Sequential([dense(), nn.Tanh(), dense()])] * depth)
        arrays, rest = eqx.partition(stack, eqx.is_array)

        def gradient(arrays, x):
            return jax.grad(lambda arrays: jnp.sum(eqx.combine(arrays, rest)(x)))(arrays)

        forward = jax.jit(lambda arrays, x: eqx.combine(arrays, rest)(x)).lower(arrays, X).as_text()
        backward = jax.jit(gradient).lower(arrays, X).as_text()
        rest_of_forward = [line for line in forward.splitlines() if "stablehlo.concatenate" not in line]
        return [text.count("dot_general") for text in (forward, backward)] + [len(rest_of_forward)]

    assert lines(2) == lines(24)
    assert lines(2)[:2] == [2, 6]


def test_contracts_are_checked_once_for_all_layers():
    calls = []

    class Counted(eqx.Module):
        weight: Array

        def __call__(self, x):
            calls.append(x)
            return self.weight * x

    nn.Stack([Counted(jnp.ones(3)) for _ in range(8)])(X)
    assert len(calls) == 1


def test_a_call_outside_jit_does_not_trace_anew():
    calls = []

    def count(x):
        calls.append(x)
        return x + 1

    stack = nn.Stack([count, count])
    np.testing.assert_allclose(stack(X), X + 2)
    stack(X + 1)
    assert len(calls) == 1


def test_half_precision_widens_with_the_first_layer_as_in_turn():
    layers = [nn.Sequential([nn.LayerNorm(p=2, n=3), dense(key)]) for key in KEYS[:3]]
    x = X.astype(jnp.bfloat16)
    y = nn.Stack(layers)(x)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, nn.Sequential(layers)(x), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(nn.Stack(layers[:1])(x), layers[0](x), rtol=1e-6, atol=1e-6)


@pytest.mark.optimised
def test_checkpoint_keeps_less_for_the_gradient():
    x = jnp.ones((64, 4, 3, 3))

    def kept(checkpoint):
        layers = [
            nn.Sequential([nn.Tanh(), dense(key, p=4, q=16), nn.Tanh(), dense(key, p=16, q=4)])
            for key in jax.random.split(jax.random.key(0), 8)
        ]
        stack = nn.Stack(layers, checkpoint=checkpoint)
        loss = eqx.filter_jit(eqx.filter_grad(lambda stack, x: jnp.sum(stack(x))))
        return loss.lower(stack, x).compile().compiled.memory_analysis().temp_size_in_bytes

    assert kept(True) < kept(False) / 2


def test_an_error_within_names_all_layers():
    stack = nn.Stack(blocks())
    with pytest.raises(ContractError, match=r"^layers\[\*\]\.body\.layers\[0\]: Dense\(p=2, q=2, n=3\) got x"):
        eqx.filter_jit(stack)(jnp.ones((2, 2, 4, 4)), key=KEYS[0])
    with pytest.raises(ContractError, match=r"^layers\[1\]\.layers\[\*\]\.body\.layers\[0\]: Dense\(p=2"):
        nn.Sequential([jnp.tanh, nn.Stack(blocks(), checkpoint=True)])(jnp.ones((2, 2, 4, 4)), key=KEYS[0])


def test_joints_are_checked_when_built():
    with pytest.raises(
        ContractError, match=r"layers\[1\]: Dense\(p=2, q=3, n=3\) takes .*, but layers\[0\]: Dense\(p=2"
    ):
        nn.Stack([dense(q=3), dense(q=3)])
    with pytest.raises(ContractError, match=r"layers\[0\]: Dense\(p=2, q=3, n=3\) takes .* axis -3 is 3, p is 2"):
        nn.Stack([dense(q=3)])
    with pytest.raises(ContractError, match=r"layers\[1\]\.layers\[0\]: Dense\(p=2, .* axis -3 is 4, p is 2"):
        nn.Sequential([dense(q=4), nn.Stack([dense(), dense()])])
    with pytest.raises(ContractError, match=r"layers\[1\]: Dense\(p=4, .*axis -3 is 2, p is 4"):
        nn.Sequential([nn.Stack([dense(), dense()]), dense(p=4)])


def test_a_layer_that_does_not_give_what_it_takes_is_refused():
    def narrow(x):
        return x[:1]

    stack = nn.Stack([narrow, narrow])
    message = r"layers\[\*\]: .*narrow must give what it takes.*got f32\[2,2,3,3\] and gives f32\[1,2,3,3\]"
    with pytest.raises(ContractError, match=message):
        stack(X)


def test_layers_that_differ_are_refused_by_the_first_place():
    for layers, message in [
        (
            [block(KEYS[0]), block(KEYS[1], rate=0.2)],
            r"arrays alone, and layers\[0\]\.body\.layers\[2\]\.rate is 0\.5 where layers\[1\]\.body\.layers\[2\]\.rate"
            r" is 0\.2: make them alike, or give them to Sequential",
        ),
        ([dense(), dense(), nn.Tanh()], r"layers\[0\] is a Dense where layers\[2\] is a Tanh"),
        ([dense(), dense(use_bias=False)], r"layers\[0\]\.bias is float32\[2, 3, 3\] where layers\[1\]\.bias is None"),
    ]:
        with pytest.raises(ValueError, match=message):
            nn.Stack(layers)


def test_layers_edited_apart_are_refused_when_called():
    stack = eqx.tree_at(lambda s: s.layers[1].body.layers[2].inference, nn.Stack(blocks()), True)
    with pytest.raises(ValueError, match=r"layers\[0\]\.body\.layers\[2\]\.inference is False where layers\[1\]"):
        stack(X, key=KEYS[0])


def test_a_rate_that_is_an_array_in_each_may_differ():
    layers = [nn.Dropout(0.5), nn.Dropout(0.25)]
    layers = [eqx.tree_at(lambda layer: layer.rate, layer, jnp.array(layer.rate)) for layer in layers]
    np.testing.assert_allclose(nn.Stack(layers)(X, key=KEYS[0]), nn.Sequential(layers)(X, key=KEYS[0]), rtol=1e-6)


def test_what_keeps_a_state_or_is_no_layer_yet_is_refused():
    message = (
        r"`layers\[0\]\.layers\[1\]\.\w+` \(a StateIndex\) must not be in a Stack, as it keeps a state.*Sequential"
    )
    with pytest.raises(TypeError, match=message):
        nn.Stack([nn.Sequential([dense(), nn.BatchNorm(p=2, n=3)]) for _ in range(2)])
    with pytest.raises(TypeError, match=r"`layers\[0\]` \(a Lazy\) must not be in a Stack, as it is no layer yet"):
        nn.Stack([nn.Lazy(nn.Dense, q=2)] * 2)
    with pytest.raises(TypeError, match=r"`layers\[0\]` \(=Tanh\) must not be a class"):
        nn.Stack([nn.Tanh, nn.Tanh])
    with pytest.raises(ValueError, match=r"`layers` \(=\(\)\) must hold at least one layer: give equal layers"):
        nn.Stack([])
    with pytest.raises(ValueError, match=r"`unroll` \(=0\) must be at least 1, or True"):
        nn.Stack([dense()], unroll=0)
