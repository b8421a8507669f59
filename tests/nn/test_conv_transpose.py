import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError
from matrinox.nn import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d

TRANSPOSES = {1: ConvTranspose1d, 2: ConvTranspose2d, 3: ConvTranspose3d}
THEIRS = {1: eqx.nn.ConvTranspose1d, 2: eqx.nn.ConvTranspose2d, 3: eqx.nn.ConvTranspose3d}
TWINS = {
    1: functional.matrix_conv_transpose1d,
    2: functional.matrix_conv_transpose2d,
    3: functional.matrix_conv_transpose3d,
}

every_rank = pytest.mark.parametrize("axes", [1, 2, 3])


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def drawn(key, shape, dtype):
    """An initializer that compiles nothing."""
    return jnp.asarray(normal(*shape), dtype)


def with_random_bias(layer):
    bias = jnp.asarray(normal(*layer.bias.shape))
    return eqx.tree_at(lambda layer: layer.bias, layer, bias)


def test_conv_transpose1d_lays_the_kernel_out_from_each_place_and_adds_the_bias():
    layer = ConvTranspose1d(p=1, q=1, n=2, kernel=2, stride=2, initializer=drawn, key=jax.random.key(0))
    exchange = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    weight = jnp.stack([jnp.eye(2), exchange])[None, None]
    layer = eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, 100 * jnp.eye(2)[None]))
    x = jnp.arange(4.0).reshape(1, 1, 2, 2)
    # The kernel's last entry comes first: the rows of [[0, 1], [2, 3]] exchanged, then themselves, and 100 I.
    assert np.array_equal(
        np.asarray(eqx.filter_jit(layer)(x))[:, 0], [[[102.0, 3.0], [0.0, 101.0]], [[100.0, 1.0], [2.0, 103.0]]]
    )


@every_rank
@pytest.mark.parametrize(
    "options",
    [{"stride": 2, "padding": 1, "output_padding": 1}, {"dilation": 2, "groups": 2, "use_bias": False}],
    ids=["stride, padding", "dilation, groups, no bias"],
)
def test_conv_transpose_equals_eqx_conv_transpose_when_n_is_1(axes, options):
    kernel = (3, 2, 3)[:axes]
    ours = TRANSPOSES[axes](p=4, q=6, n=1, kernel=kernel, initializer=drawn, key=jax.random.key(0), **options)
    if ours.bias is not None:
        ours = with_random_bias(ours)
    theirs = eqx.filter_eval_shape(THEIRS[axes], 4, 6, kernel, key=jax.random.key(1), **options)
    theirs = eqx.tree_at(lambda layer: layer.weight, theirs, ours.weight[..., 0, 0])
    if ours.bias is not None:
        theirs = eqx.tree_at(lambda layer: layer.bias, theirs, ours.bias.reshape(6, *(1,) * axes))
    x = normal(2, *(4, 3, 3)[:axes], 4)
    expected = np.moveaxis(eqx.filter_jit(eqx.filter_vmap(theirs))(np.moveaxis(x, -1, 1)), 1, -1)
    y = eqx.filter_jit(ours)(x[..., None, None])
    np.testing.assert_allclose(y[..., 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_conv_transpose_hands_every_option_on():
    layer = ConvTranspose2d(
        *(2, 4, 2, (2, 1)),
        stride=(3, 2),
        padding=1,
        output_padding=(2, 0),
        dilation=2,
        groups=2,
        layout=("channel_first", "n h w q n"),
        precision="highest",
        accumulation_dtype=jnp.float32,
        initializer=drawn,
        dtype=jnp.bfloat16,
        key=jax.random.key(0),
    )
    options = {"stride": (3, 2), "padding": 1, "output_padding": (2, 0), "dilation": 2, "groups": 2}
    options |= {"layout": ("p h w n n", "n h w q n"), "precision": "highest", "accumulation_dtype": "float32"}
    x = jnp.asarray(normal(3, 2, 4, 5, 2, 2), jnp.bfloat16)
    y, twin = eqx.filter_jit(lambda layer: (layer(x), functional.matrix_conv_transpose2d(layer.params, x, **options)))(
        layer
    )
    assert np.array_equal(y, twin)


@every_rank
def test_conv_transpose_is_its_functional_twin_and_knows_its_sizes(axes):
    layer = with_random_bias(
        TRANSPOSES[axes](
            p=4, q=6, n=2, kernel=(3, 2, 1)[:axes], stride=2, groups=2, initializer=drawn, key=jax.random.key(0)
        )
    )
    assert (layer.p, layer.q, layer.n, layer.kernel) == (4, 6, 2, (3, 2, 1)[:axes])
    assert layer.weight.shape == (6, 2, *layer.kernel, 2, 2)
    x = normal(*(3,) * axes, 4, 2, 2)
    y, twin = eqx.filter_jit(lambda layer: (layer(x), TWINS[axes](layer.params, x, stride=2, groups=2)))(layer)
    assert np.array_equal(y, twin)


def test_conv_transpose_brings_back_the_space_that_a_convolution_took():
    x = normal(7, 8, 2, 2, 2)
    down = nn.Conv2d(p=2, q=3, n=2, kernel=3, stride=2, padding=1, initializer=drawn, key=jax.random.key(0))
    up = ConvTranspose2d(
        *(3, 2, 2, 3), stride=2, padding=1, output_padding=(0, 1), initializer=drawn, key=jax.random.key(0)
    )
    assert eqx.filter_eval_shape(down, x).shape[:2] == functional.down2((7, 8)) == (4, 4)
    assert eqx.filter_eval_shape(nn.Sequential([down, nn.ReLU(), up]), x).shape == x.shape


def test_the_default_weight_keeps_the_variance_of_the_entries():
    layer = ConvTranspose2d(p=16, q=32, n=4, kernel=3, stride=(2, 3), key=jax.random.key(0))
    y = np.asarray(eqx.filter_jit(layer)(normal(4, 8, 8, 16, 4, 4)))
    # Away from the edge, where fewer places are met.
    assert np.var(y[:, 3:-3, 3:-3]) == pytest.approx(1.0, rel=0.1)


def test_a_wrong_shape_is_refused_in_the_layout_of_the_layer():
    layer = ConvTranspose2d(p=2, q=3, n=4, kernel=3, layout="channel_first", initializer=drawn, key=jax.random.key(0))
    message = (
        r"^ConvTranspose2d\(p=2, q=3, n=4\) got x float32\[5, 5, 2, 4, 4\]; it takes "
        r"\(\*batch, p=2, h, w, n=4, n=4\): axis -5 is 5, p is 2"
    )
    with pytest.raises(ContractError, match=message):
        layer(jnp.ones((5, 5, 2, 4, 4)))


@every_rank
@pytest.mark.parametrize("size", ["p", "q", "n", "kernel", "groups", "stride", "dilation"])
def test_a_size_below_1_is_refused(axes, size):
    sizes = {"p": 2, "q": 3, "n": 4, "kernel": 2, size: 0}
    with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1"):
        TRANSPOSES[axes](**sizes, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 3}, r"`p` \(=4\) must be divisible by `groups` \(=3\)"),
        ({"output_padding": -1}, r"`output_padding` \(=-1\) must be at least 0: choose 0 for none"),
        ({"output_padding": (1, 1, 1)}, r"`output_padding` \(=\(1, 1, 1\)\) must have 2 sizes"),
        (
            {"output_padding": 1},
            r"`output_padding` \(=\(1, 1\)\) must be less than `stride` \(=\(1, 1\)\) along each axis",
        ),
        ({"padding": "VALUD"}, r"`padding` \(='VALUD'\) must be .*: did you mean 'VALID'\?"),
        ({"layout": "h w p"}, r"`layout` \(='h w p'\) must name each of h, w, p once and n twice"),
        ({"precision": "hi"}, r"`precision` \(='hi'\) must be a name that JAX knows"),
        ({"accumulation_dtype": "int32"}, r"`accumulation_dtype` \(=int32\) must be a float dtype"),
    ],
)
def test_options_without_a_meaning_are_refused_when_the_layer_is_built(options, message):
    with pytest.raises(ValueError, match=message):
        ConvTranspose2d(p=4, q=3, n=2, kernel=3, **options, key=jax.random.key(0))
