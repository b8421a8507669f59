import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.normal(size=(2, 3, 2, 4, 3, 3)) + 1, jnp.float32)
WEIGHT, BIAS = jnp.asarray(RNG.normal(size=(2, 4, 3, 3)), jnp.float32)

LAYERS = {
    "layer": (lambda **options: nn.LayerNorm(4, 3, **options), functional.layer_norm, {}),
    "rms": (lambda **options: nn.RMSNorm(4, 3, **options), functional.rms_norm, {}),
    "group": (lambda **options: nn.GroupNorm(2, 4, 3, **options), functional.group_norm, {"groups": 2}),
    "group of an image": (
        lambda **options: nn.GroupNorm(2, 4, 3, axes=2, **options),
        functional.group_norm,
        {"groups": 2, "axes": 2},
    ),
    "instance": (lambda **options: nn.InstanceNorm(4, 3, axes=1, **options), functional.instance_norm, {"axes": 1}),
}
EACH = pytest.mark.parametrize(("make", "function", "options"), LAYERS.values(), ids=LAYERS)


def with_affine(layer, weight, bias):
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, bias))


def test_layer_norm_by_hand():
    # Mean 1, variance 4; the weight doubles the last entry, the bias adds 1 to it.
    layer = with_affine(nn.LayerNorm(p=1, n=2, eps=1e-12), *jnp.array([[[[1.0, 1], [1, 2]]], [[[0.0, 0], [0, 1]]]]))
    np.testing.assert_allclose(layer(jnp.array([[[-1.0, 3.0], [-1.0, 3.0]]])), [[[-1, 1], [-1, 3]]], rtol=1e-6)


def test_instance_norm_by_hand():
    x = jnp.array([[[[1.0]], [[10.0]]], [[[3.0]], [[50.0]]]])
    y = nn.InstanceNorm(p=2, n=1, axes=1, eps=1e-12)(x)
    np.testing.assert_allclose(y, [[[[-1]], [[-1]]], [[[1]], [[1]]]], rtol=1e-6)


TWINS = {
    "layer": (nn.LayerNorm(4, 1), eqx.nn.LayerNorm((4,)), ()),
    "rms": (nn.RMSNorm(4, 1), eqx.nn.RMSNorm((4,)), ()),
    "group": (nn.GroupNorm(2, 4, 1), eqx.nn.GroupNorm(2, 4), ()),
    "group of a sequence": (nn.GroupNorm(2, 4, 1, axes=1), eqx.nn.GroupNorm(2, 4), (5,)),
    "group of an image": (nn.GroupNorm(2, 4, 1, axes=2), eqx.nn.GroupNorm(2, 4), (3, 2)),
    "group of a volume": (nn.GroupNorm(2, 4, 1, axes=3), eqx.nn.GroupNorm(2, 4), (2, 3, 2)),
    "instance of an image": (nn.InstanceNorm(4, 1, axes=2), eqx.nn.GroupNorm(4, 4), (3, 2)),
}


@pytest.mark.parametrize(("layer", "twin", "space"), TWINS.values(), ids=TWINS)
def test_norms_equal_their_equinox_twins_when_n_is_1(layer, twin, space):
    x, (weight, bias) = RNG.normal(size=(*space, 4)).astype(np.float32), RNG.normal(size=(2, 4)).astype(np.float32)
    layer = with_affine(layer, jnp.asarray(weight)[:, None, None], jnp.asarray(bias)[:, None, None])
    twin = eqx.tree_at(lambda twin: (twin.weight, twin.bias), twin, (jnp.asarray(weight), jnp.asarray(bias)))
    run = eqx.filter_jit(lambda layer, twin, x: (layer(x[..., None, None])[..., 0, 0], twin(jnp.moveaxis(x, -1, 0))))
    y, expected = run(layer, twin, x)
    np.testing.assert_allclose(y, np.moveaxis(expected, 0, -1), rtol=1e-5, atol=1e-6)


@EACH
def test_norms_are_their_functional_twins(make, function, options):
    layer = with_affine(make(eps=0.1), WEIGHT, BIAS)
    np.testing.assert_array_equal(layer(IMAGES), function(IMAGES, WEIGHT, BIAS, eps=0.1, **options))


@EACH
def test_weight_and_bias_start_at_one_and_zero_and_can_be_left_out(make, function, options):
    layer, bare = make(dtype=jnp.bfloat16), make(use_weight=False, use_bias=False)
    assert np.array_equal(layer.weight, np.ones((4, 3, 3)))
    assert np.array_equal(layer.bias, np.zeros((4, 3, 3)))
    assert layer.weight.dtype == layer.bias.dtype == jnp.bfloat16
    assert bare.weight is None
    assert bare.bias is None
    assert (bare.p, bare.n) == (layer.p, layer.n) == (4, 3)
    np.testing.assert_array_equal(bare(IMAGES), make()(IMAGES))
    assert make(use_weight=False).bias is not None
    assert make(use_bias=False).weight is not None


def test_the_sizes_are_those_of_an_edited_weight():
    layer = with_affine(nn.LayerNorm(4, 3), WEIGHT[:2], BIAS[:2])
    assert (layer.p, layer.n) == (2, 3)
    assert layer(IMAGES[..., :2, :, :]).shape == (2, 3, 2, 2, 3, 3)


@EACH
def test_scale_is_forgotten(make, function, options):
    np.testing.assert_allclose(make(eps=1e-12)(8 * IMAGES), make(eps=1e-12)(IMAGES), rtol=1e-5, atol=1e-6)


@EACH
def test_the_mean_is_forgotten_but_by_rms_norm(make, function, options):
    same = np.allclose(make()(IMAGES + 1), make()(IMAGES), atol=1e-5)
    assert same == (function is not functional.rms_norm)


def test_a_joint_before_a_norm_over_space_is_checked_when_it_is_built():
    with pytest.raises(ContractError, match=r"layers\[1\]: GroupNorm\(p=4, n=3\) takes .*but layers\[0\]: LayerNorm"):
        nn.Sequential([nn.LayerNorm(5, 3), nn.GroupNorm(2, 4, 3, axes=2)])
    model = nn.Sequential([nn.LayerNorm(4, 3), nn.GroupNorm(2, 4, 3, axes=2), nn.GlobalAvgPool2d()])
    assert model(IMAGES).shape == (2, 4, 3, 3)


@EACH
def test_norms_refuse_a_wrong_shape(make, function, options):
    with pytest.raises(ContractError, match=r"Norm\(p=4, n=3\) got x .*axis -3 is 2, p is 4"):
        make()(IMAGES[..., :2, :, :])


def test_norms_over_space_refuse_a_missing_space_axis():
    expected = r"GroupNorm\(p=4, n=3\) got x .*takes \(\*batch, h, w, p=4, n=3, n=3\): it has 4 axes, at least 5 are"
    with pytest.raises(ContractError, match=expected):
        nn.GroupNorm(2, 4, 3, axes=2)(IMAGES[0, 0])


def test_norms_refuse_options_out_of_range():
    with pytest.raises(ValueError, match=r"`p` \(=0\) must be at least 1"):
        nn.LayerNorm(0, 3)
    with pytest.raises(ValueError, match=r"`n` \(=0\) must be at least 1"):
        nn.InstanceNorm(2, 0, axes=1)
    with pytest.raises(ValueError, match=r"`eps` \(=0\) must be positive and finite"):
        nn.RMSNorm(2, 3, eps=0)
    with pytest.raises(ValueError, match=r"`p` \(=4\) must be divisible by `groups` \(=3\): choose `p` as a multiple"):
        nn.GroupNorm(3, 4, 3)
    with pytest.raises(ValueError, match=r"`groups` \(=0\) must be at least 1"):
        nn.GroupNorm(0, 4, 3)
    with pytest.raises(ValueError, match=r"`axes` \(=4\) must be from 0 to 3"):
        nn.GroupNorm(2, 4, 3, axes=4)
    with pytest.raises(ValueError, match=r"`axes` \(=-1\) must be from 0 to 3"):
        nn.InstanceNorm(4, 3, axes=-1)
    with pytest.raises(ContractError, match="LayerNorm got weight int32"):
        nn.LayerNorm(4, 3, dtype=int)
