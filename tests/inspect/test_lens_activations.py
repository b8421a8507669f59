"""What layers give on an example, against the layers called by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional as F
from matrinox import nn
from matrinox.inspect.lens_activations import activations_of

KEYS = jax.random.split(jax.random.key(0), 6)
RANDOM = np.random.default_rng(0)
X = jnp.asarray(RANDOM.normal(size=(3, 2, 3, 3)), jnp.float32)


def dense(index=0, p=2, q=2):
    return nn.Dense(p=p, q=q, n=3, initializer=drawn, key=KEYS[index])


def drawn(key, shape, dtype=None):
    """An initializer that compiles nothing."""
    seed = int(jax.random.key_data(key)[-1])
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def same(measured, array):
    return np.allclose(measured.values, array, rtol=1e-5, atol=1e-6) and measured.values.shape == array.shape


def test_layers_are_seen_in_order_with_what_they_give():
    model = nn.Sequential([dense(0, q=4), nn.ReLUd(), nn.Residual(dense(1, p=4, q=4)), F.relud, nn.Trace()])
    seen = activations_of(model, np.asarray(X), {"key": KEYS[0]})
    y0 = model.layers[0](X)
    y1 = F.relud(y0)
    inner = model.layers[2].body(y1)
    expected = {
        "layers[0]": y0,
        "layers[1]": y1,
        "layers[2].body": inner,
        "layers[2]": y1 + inner,
        "layers[3]": F.relud(y1 + inner),
    }
    assert list(seen.given) == list(expected)
    assert all(same(seen.given[path], array) for path, array in expected.items())
    assert list(seen.gated) == ["layers[1]", "layers[3]"]
    assert same(seen.gated["layers[1]"], y0)
    assert same(seen.gated["layers[3]"], y1 + inner)


def test_the_layers_of_a_stack_are_those_of_its_loop_and_stacks_may_hold_stacks():
    inner = [nn.Stack([nn.Sequential([dense(2 * i + j), nn.LeakyReLUd()]) for j in range(2)]) for i in range(2)]
    seen = activations_of(nn.Sequential([nn.Stack(inner)]), X, {})
    y = X
    for i, stack in enumerate(inner):
        for j, layer in enumerate(stack.layers):
            path = f"layers[0].layers[{i}].layers[{j}].layers"
            assert same(seen.gated[f"{path}[1]"], layer.layers[0](y))
            y = layer(y)
            assert same(seen.given[f"{path}[1]"], y)
    assert len(seen.given) == 8


def test_steps_of_a_loop_and_calls_of_one_layer_are_put_on_top_of_each_other():
    layer = nn.Recurrent(nn.RNNCell(p=2, q=2, n=3, activation=F.relud, initializer=drawn, key=KEYS[0]))
    x = jnp.stack([X, 2 * X], axis=1)
    seen = activations_of(nn.Sequential([layer]), x, {})
    y = layer(x)
    steps = [measured for path, measured in seen.given.items() if path.startswith("layers[0].cell")]
    assert any(same(measured, jnp.moveaxis(y, 1, 0)) for measured in steps)
    (gated,) = seen.gated.values()
    assert gated.values.shape == (2, 3, 2, 3, 3)

    class Twice(eqx.Module):
        layer: nn.Dense

        def __call__(self, x):
            return self.layer(self.layer(x))

    once = dense()(X)
    twice = activations_of(Twice(dense()), X, {}).given["layer"]
    assert same(twice, jnp.stack([once, dense()(once)]))


def test_layers_under_vmap_jit_and_checkpoint_are_seen_and_those_in_branches_are_not():
    class Model(eqx.Module):
        first: nn.Dense
        second: nn.ReLUd
        third: nn.Dense

        def __call__(self, x):
            y = jax.vmap(eqx.filter_jit(lambda x: self.second(self.first(x))))(x)
            y = jax.checkpoint(lambda y: self.first(y))(y)
            return jax.lax.cond(y.sum() > 0, lambda y: self.third(y), lambda y: -y, y)

    model = Model(dense(0), nn.ReLUd(), dense(1))
    seen = activations_of(model, X, {})
    y0 = model.first(X)
    assert list(seen.given) == ["first", "second", ""]
    assert same(seen.given["second"], F.relud(y0))
    assert same(seen.given["first"], jnp.stack([y0, model.first(F.relud(y0))]))
    assert same(seen.gated["second"], y0)
    assert same(seen.given[""], model(X))


def test_a_tied_model_is_seen_as_it_is_called():
    tied = nn.Tied(nn.Sequential([dense(0), dense(1)]), {"layers[0].weight": "layers[1].weight"})
    seen = activations_of(tied, X, {}).given
    assert list(seen) == ["model.layers[0]", "model.layers[1]"]
    assert same(seen["model.layers[1]"], tied(X))


def test_a_stateful_model_takes_its_state():
    model, state = eqx.nn.make_with_state(lambda: nn.Sequential([dense(), nn.BatchNorm(p=2, n=3)]))()
    seen = activations_of(model, X, {"state": state}).given
    assert same(seen["layers[1]"], model(X, state)[0])


def test_half_precision_stays_what_it_is():
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), dense())
    (measured,) = activations_of(model, X.astype(jnp.bfloat16), {}).given.values()
    assert measured.values.dtype == jnp.bfloat16
    assert np.isfinite(measured.determinant).all()


def test_a_second_look_at_other_weights_compiles_nothing(monkeypatch):
    model = nn.Sequential([dense(0), nn.ReLUd()])
    activations_of(model, X, {})
    other = jax.tree.map(lambda leaf: 2 * leaf if eqx.is_array(leaf) else leaf, model)
    from matrinox.inspect import lens_activations

    monkeypatch.setattr(lens_activations, "observed", lambda model: pytest.fail("the model was traced again"))
    assert same(activations_of(other, X, {}).given["layers[0]"], other.layers[0](X))


def test_the_model_is_as_it_was():
    model = nn.Sequential([dense(0), F.relud])
    before = jax.tree.leaves(model)
    activations_of(model, X, {})
    assert all(one is other for one, other in zip(before, jax.tree.leaves(model), strict=True))
    assert type(model.layers[0]) is nn.Dense
