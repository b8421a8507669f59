import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn

KEY = jax.random.key(0)


def build(p=2, classes=3, n=2, **options):
    return nn.Prototypes(p, classes, n, **{"initializer": drawn, "key": KEY, **options})


def test_logits_are_scaled_distances_negated():
    layer = eqx.tree_at(lambda layer: layer.log_scale, build(), jnp.log(jnp.array([0.5, 2.0])))
    x = np.random.default_rng(0).normal(size=(4, 2, 2, 2)).astype(np.float32)
    apart = np.square(x[:, :, None] - np.asarray(layer.prototypes)).sum((-2, -1))
    assert layer(x) == pytest.approx(-(0.5 * apart[:, 0] + 2 * apart[:, 1]), rel=1e-5)


def test_the_logit_of_the_prototype_itself_is_0_and_every_other_is_below():
    layer = build(scale=0.3)
    logits = np.asarray(layer(jnp.moveaxis(layer.prototypes, 1, 0)))
    assert np.array_equal(np.diag(logits), np.zeros(3))
    assert (logits[~np.eye(3, dtype=bool)] < 0).all()


def test_the_scale_is_a_factor_on_the_logits():
    x = jnp.ones((2, 2, 2))
    assert build(scale=0.5)(x) == pytest.approx(0.5 * np.asarray(build()(x)), rel=1e-6)


def test_half_precision_is_summed_in_float32():
    layer, x = build(p=300, dtype=jnp.bfloat16), jnp.ones((300, 2, 2), jnp.bfloat16)
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), layer)
    assert layer(x).dtype == jnp.bfloat16
    assert np.float32(layer(x)) == pytest.approx(np.asarray(wide(np.float32(x))), rel=2**-8)


@pytest.mark.parametrize("size", ["p", "classes", "n"])
def test_a_size_below_1_is_refused(size):
    with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be"):
        build(**{size: 0})


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match=r"`scale` \(=.*\) must be positive and finite: choose 1"):
        build(scale=scale)
