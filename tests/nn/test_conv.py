import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError
from matrinox.initializers import identity_plus_noise, orthogonal
from matrinox.nn import Conv1d, Conv2d, Conv3d

CONVS = {1: Conv1d, 2: Conv2d, 3: Conv3d}
THEIRS = {1: eqx.nn.Conv1d, 2: eqx.nn.Conv2d, 3: eqx.nn.Conv3d}
TWINS = {1: functional.matrix_conv1d, 2: functional.matrix_conv2d, 3: functional.matrix_conv3d}

every_rank = pytest.mark.parametrize("axes", [1, 2, 3])


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def drawn(key, shape, dtype):
    """An initializer that compiles nothing."""
    return jnp.asarray(normal(*shape))


run = eqx.filter_jit(lambda layer, x: layer(x))


def with_random_bias(layer):
    bias = jnp.asarray(normal(*layer.bias.shape))
    return eqx.tree_at(lambda layer: layer.bias, layer, bias)


def test_conv1d_sums_over_the_kernel_and_adds_the_bias():
    layer = Conv1d(p=1, q=1, n=2, kernel=2, initializer=drawn, key=jax.random.key(0))
    exchange = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    weight = jnp.stack([jnp.eye(2), exchange])[None, None]
    layer = eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, 100 * jnp.eye(2)[None]))
    x = jnp.arange(12.0).reshape(3, 1, 2, 2)
    # x_t + the rows of x_(t+1) exchanged + 100 I:
    # [[0, 1], [2, 3]] + [[6, 7], [4, 5]] + 100 I, then [[4, 5], [6, 7]] + [[10, 11], [8, 9]] + 100 I
    assert np.array_equal(
        np.asarray(run(layer, x))[:, 0], [[[106.0, 8.0], [6.0, 108.0]], [[114.0, 16.0], [14.0, 116.0]]]
    )


@every_rank
@pytest.mark.parametrize(
    ("options", "padding"),
    [
        ({}, 0),
        ({"stride": 2, "padding": "SAME"}, "SAME of matnets"),
        ({"dilation": 2, "groups": 2}, 0),
        ({"use_bias": False}, 0),
    ],
    ids=["plain", "stride, SAME", "dilation, groups", "no bias"],
)
def test_conv_equals_eqx_conv_when_n_is_1(axes, options, padding):
    kernel = (3, 2, 3)[:axes]
    ours = CONVS[axes](p=4, q=6, n=1, kernel=kernel, initializer=drawn, key=jax.random.key(0), **options)
    if ours.bias is not None:
        ours = with_random_bias(ours)
    if padding:
        padding = tuple(((size - 1) // 2, size // 2) for size in kernel)
    theirs = eqx.filter_eval_shape(THEIRS[axes], 4, 6, kernel, key=jax.random.key(1), **{**options, "padding": padding})
    theirs = eqx.tree_at(lambda layer: layer.weight, theirs, ours.weight[..., 0, 0])
    if ours.bias is not None:
        theirs = eqx.tree_at(lambda layer: layer.bias, theirs, ours.bias.reshape(6, *(1,) * axes))
    x = normal(2, *(6, 5, 6)[:axes], 4)
    expected = np.moveaxis(eqx.filter_jit(eqx.filter_vmap(theirs))(np.moveaxis(x, -1, 1)), 1, -1)
    np.testing.assert_allclose(np.asarray(run(ours, x[..., None, None]))[..., 0, 0], expected, rtol=1e-4, atol=1e-5)


@every_rank
def test_conv_is_its_functional_twin(axes):
    layer = with_random_bias(
        CONVS[axes](p=2, q=4, n=2, kernel=2, stride=2, groups=2, initializer=drawn, key=jax.random.key(0))
    )
    x = normal(*(4,) * axes, 2, 2, 2)
    y, twin = eqx.filter_jit(lambda layer: (layer(x), TWINS[axes](layer.params, x, stride=2, groups=2)))(layer)
    assert np.array_equal(y, twin)


@every_rank
def test_conv_of_kernel_1_is_dense_at_every_place(axes):
    layer = with_random_bias(CONVS[axes](p=2, q=3, n=2, kernel=1, initializer=drawn, key=jax.random.key(0)))
    dense = nn.Dense(p=2, q=3, n=2, initializer=drawn, key=jax.random.key(0))
    weight = layer.weight.reshape(3, 2, 2, 2)
    dense = eqx.tree_at(lambda layer: (layer.weight, layer.bias), dense, (weight, layer.bias))
    x = normal(*(3,) * axes, 2, 2, 2)
    np.testing.assert_allclose(run(layer, x), run(dense, x), rtol=1e-5, atol=1e-6)


@every_rank
@pytest.mark.parametrize("kernel", [3, 2])
def test_the_identity_initializer_with_same_padding_changes_nothing(axes, kernel):
    x = normal(*(3,) * axes, 2, 2, 2)

    @jax.jit
    def through(key):
        return CONVS[axes](2, 2, 2, kernel, padding="SAME", initializer=identity_plus_noise(0.0), key=key)(x)

    np.testing.assert_allclose(through(jax.random.key(0)), x, rtol=1e-6)


@every_rank
def test_conv_knows_its_sizes(axes):
    layer = CONVS[axes](p=4, q=6, n=3, kernel=(3, 2, 1)[:axes], groups=2, initializer=drawn, key=jax.random.key(0))
    assert (layer.p, layer.q, layer.n, layer.kernel) == (4, 6, 3, (3, 2, 1)[:axes])
    assert layer.weight.shape == (6, 2, *layer.kernel, 3, 3)
    assert layer.params.W is layer.weight
    assert layer.params.B is layer.bias


def test_sizes_of_stacked_convolutions_are_those_of_each():
    keys = jax.random.split(jax.random.key(0), 5)
    build = eqx.filter_vmap(lambda key: Conv2d(p=2, q=3, n=4, kernel=(3, 2), key=key))
    layers = eqx.filter_eval_shape(build, keys)
    assert (layers.p, layers.q, layers.n, layers.kernel) == (2, 3, 4, (3, 2))
    call = eqx.filter_vmap(lambda layer, x: layer(x), in_axes=(0, None))
    y = eqx.filter_eval_shape(call, layers, jnp.ones((3, 3, 2, 4, 4)))
    assert y.shape == (5, 1, 2, 3, 4, 4)


def test_the_default_weight_keeps_the_variance_of_the_entries():
    layer = Conv2d(p=16, q=32, n=4, kernel=3, key=jax.random.key(0))
    y = run(layer, normal(8, 6, 6, 16, 4, 4))
    assert np.var(np.asarray(y)) == pytest.approx(1.0, rel=0.1)


def test_the_default_weight_does_not_count_the_zeros_between_the_places_as_inputs():
    layer = Conv2d(p=16, q=32, n=4, kernel=3, input_dilation=(2, 3), key=jax.random.key(0))
    y = run(layer, normal(8, 6, 6, 16, 4, 4))
    assert np.var(np.asarray(y)) == pytest.approx(1.0, rel=0.1)


def test_conv_hands_every_option_on():
    layer = Conv2d(
        *(2, 4, 2, (2, 1)),
        stride=(1, 2),
        padding=1,
        dilation=2,
        input_dilation=(1, 3),
        batch_groups=2,
        layout=("channel_first", "n h w q n"),
        precision="highest",
        accumulation_dtype=jnp.float32,
        initializer=drawn,
        dtype=jnp.bfloat16,
        key=jax.random.key(0),
    )
    options = {"stride": (1, 2), "padding": 1, "dilation": 2, "input_dilation": (1, 3), "batch_groups": 2}
    options |= {"layout": ("p h w n n", "n h w q n"), "precision": "highest", "accumulation_dtype": "float32"}
    x = jnp.asarray(normal(3, 4, 2, 5, 4, 2, 2), jnp.bfloat16)
    y, twin = eqx.filter_jit(lambda layer: (layer(x), functional.matrix_conv2d(layer.params, x, **options)))(layer)
    assert y.shape == (3, 2, 2, 5, 6, 4, 2)
    assert np.array_equal(y, twin)


@every_rank
def test_conv_of_batch_groups_is_its_functional_twin(axes):
    layer = CONVS[axes](p=2, q=4, n=2, kernel=2, batch_groups=2, initializer=drawn, key=jax.random.key(0))
    x = normal(2, *(3,) * axes, 2, 2, 2)
    y, twin = eqx.filter_jit(lambda layer: (layer(x), TWINS[axes](layer.params, x, batch_groups=2)))(layer)
    assert np.array_equal(y, twin)


def test_layers_that_differ_in_the_dtype_of_their_sums_alone_are_compiled_apart(x64):
    # NumPy's float64 equals None.
    key = jax.random.key(0)
    layers = [Conv1d(1, 1, 1, 1, initializer=drawn, accumulation_dtype=sums, key=key) for sums in (None, "float64")]
    assert jax.tree.structure(layers[0]) != jax.tree.structure(layers[1])
    assert [layer.accumulation_dtype for layer in layers] == [None, "float64"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 2, "batch_groups": 2}, r"`groups` \(=2\) and `batch_groups` \(=2\) must not both be above 1"),
        ({"batch_groups": 3}, r"`q` \(=4\) must be divisible by `batch_groups` \(=3\)"),
        ({"layout": "channels_first"}, r"`layout` \(='channels_first'\) must be .* did you mean 'channel_first'\?"),
        ({"layout": "p h w n"}, r"`layout` \(='p h w n'\) must name each of h, w, p once and n twice"),
        ({"precision": "hi"}, r"`precision` \(='hi'\) must be a name that JAX knows"),
        ({"accumulation_dtype": "int32"}, r"`accumulation_dtype` \(=int32\) must be a float dtype"),
    ],
)
def test_options_without_a_meaning_are_refused_when_the_layer_is_built(options, message):
    with pytest.raises(ValueError, match=message):
        Conv2d(p=2, q=4, n=2, kernel=3, **options, key=jax.random.key(0))


def test_a_wrong_shape_is_refused_in_the_layout_of_the_layer():
    layer = Conv2d(p=2, q=4, n=3, kernel=2, layout="p n n h w", initializer=drawn, key=jax.random.key(0))
    assert eqx.filter_eval_shape(layer, jnp.ones((5, 2, 3, 3, 6, 7))).shape == (5, 4, 3, 3, 5, 6)
    with pytest.raises(
        ContractError,
        match=r"^Conv2d\(p=2, q=4, n=3\) got x float32\[4, 3, 3, 6, 7\]; it takes \(\*batch, p=2, n=3, n=3, h, w\): "
        r"axis -5 is 4, p is 2\. p and q are swapped",
    ):
        layer(jnp.ones((4, 3, 3, 6, 7)))
    grouped = Conv2d(p=2, q=4, n=3, kernel=2, batch_groups=2, initializer=drawn, key=jax.random.key(0))
    with pytest.raises(ContractError, match=r"it takes \(\*batch, examples, h, w, p=2, n=3, n=3\): it has 5 axes"):
        grouped(jnp.ones((6, 7, 2, 3, 3)))
    with pytest.raises(ValueError, match=r"`examples` \(=3\) must be divisible by `batch_groups` \(=2\)"):
        grouped(jnp.ones((3, 6, 7, 2, 3, 3)))


def test_sequential_checks_the_joints_of_convolutions_in_their_layout():
    def conv(p, q, layout):
        return Conv2d(p=p, q=q, n=2, kernel=2, layout=layout, initializer=drawn, key=jax.random.key(0))

    model = nn.Sequential([conv(2, 3, "channel_first"), nn.ReLU(), conv(3, 4, ("channel_first", "channel_last"))])
    assert eqx.filter_eval_shape(model, jnp.ones((2, 4, 4, 2, 2))).shape == (2, 2, 4, 2, 2)
    with pytest.raises(
        ContractError,
        match=r"layers\[1\]: Conv2d\(p=2, q=4, n=2\) takes \(\*batch, p=2, h, w, n=2, n=2\), but layers\[0\]: Conv2d"
        r"\(p=2, q=3, n=2\) gives \(\*batch, q=3, h_out, w_out, n=2, n=2\): axis -5 is 3, p is 2",
    ):
        nn.Sequential([conv(2, 3, "channel_first"), conv(2, 4, "channel_first")])
    with pytest.raises(
        ContractError, match=r"q=3, n=2, n=2, h_out, w_out\): axis -5 holds neurons, and places are due"
    ):
        nn.Sequential([conv(2, 3, "p n n h w"), conv(3, 4, "channel_last")])


@pytest.mark.parametrize("behind", [nn.MaxPool2d(2), nn.GlobalAvgPool2d(), nn.LayerNorm(p=4, n=2)], ids=repr)
def test_sequential_refuses_what_reads_places_as_neurons(behind):
    first = Conv2d(p=2, q=4, n=2, kernel=1, layout="channel_first", initializer=drawn, key=jax.random.key(0))
    with pytest.raises(ContractError, match=r"layers\[2\].* axis -3 holds places, and neurons are due"):
        nn.Sequential([first, nn.ReLUd(), behind])


def test_a_bias_starts_at_zero_and_may_be_left_out():
    assert not np.any(Conv1d(p=2, q=3, n=2, kernel=2, initializer=drawn, key=jax.random.key(0)).bias)
    assert Conv1d(p=2, q=3, n=2, kernel=2, use_bias=False, initializer=drawn, key=jax.random.key(0)).bias is None


@every_rank
def test_neurons_that_groups_do_not_divide_are_refused(axes):
    with pytest.raises(
        ValueError, match=r"`p` \(=3\) must be divisible by `groups` \(=2\): choose `p` as a multiple of 2"
    ):
        CONVS[axes](p=3, q=4, n=2, kernel=1, groups=2, key=jax.random.key(0))
    with pytest.raises(
        ValueError, match=r"`q` \(=5\) must be divisible by `groups` \(=2\): choose `q` as a multiple of 2"
    ):
        CONVS[axes](p=4, q=5, n=2, kernel=1, groups=2, key=jax.random.key(0))


@every_rank
@pytest.mark.parametrize(
    "size", ["p", "q", "n", "kernel", "groups", "stride", "dilation", "input_dilation", "batch_groups"]
)
def test_a_size_below_1_is_refused(axes, size):
    sizes = {"p": 2, "q": 3, "n": 4, "kernel": 2, size: 0}
    with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1"):
        CONVS[axes](**sizes, key=jax.random.key(0))


@every_rank
@pytest.mark.parametrize("option", ["kernel", "stride", "dilation", "input_dilation"])
def test_sizes_of_another_count_of_axes_are_refused(axes, option):
    options = {"kernel": 2, option: (2,) * {1: 2, 2: 3, 3: 2}[axes]}
    with pytest.raises(
        ValueError, match=rf"`{option}` \(=\(2, .*\)\) must have {axes} sizes?: give an int, or one size"
    ):
        CONVS[axes](p=2, q=3, n=4, **options, key=jax.random.key(0))


@every_rank
def test_padding_of_a_wrong_name_is_refused_when_the_layer_is_built(axes):
    with pytest.raises(ValueError, match=r"`padding` \(='VALUD'\) must be .*: did you mean 'VALID'\?"):
        CONVS[axes](p=2, q=3, n=4, kernel=2, padding="VALUD", key=jax.random.key(0))


def test_a_missing_space_axis_and_swapped_p_and_q_are_refused():
    layer = Conv2d(p=2, q=3, n=4, kernel=3, initializer=drawn, key=jax.random.key(0))
    with pytest.raises(ContractError, match=r"Conv2d\(p=2, q=3, n=4\) got x float32\[8, 2, 4, 4\].*it has 4 axes"):
        layer(jnp.ones((8, 2, 4, 4)))
    with pytest.raises(ContractError, match="axis -3 is 3, p is 2"):
        layer(jnp.ones((8, 8, 3, 4, 4)))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("kernel", (3, 3.0)),
        ("stride", (1.0, 1)),
        ("dilation", (1, 1, 1, 1)),
        ("padding", ((1, 1, 1), (1, 1))),
        ("padding", ((1, 1), (1.0, 1))),
    ],
    ids=str,
)
def test_every_entry_of_a_size_or_padding_is_checked_every_time(argument, value):
    options = {"kernel": 3, argument: value}
    for _ in range(50):
        with pytest.raises(ContractError, match=f"Conv2d got {argument} as a tuple"):
            Conv2d(p=2, q=3, n=4, **options, initializer=drawn, key=jax.random.key(0))


def test_the_identity_initializer_passes_neurons_through_in_every_group():
    x = normal(3, 4, 2, 2)

    @jax.jit
    def through(key):
        return Conv1d(p=4, q=4, n=2, kernel=1, groups=2, initializer=identity_plus_noise(0.0), key=key)(x)

    np.testing.assert_allclose(through(jax.random.key(0)), x, rtol=1e-6)


def test_the_orthogonal_initializer_keeps_the_size_of_every_group():
    x = normal(3, 8, 4, 4)

    @jax.jit
    def through(key):
        return Conv1d(p=8, q=8, n=4, kernel=1, groups=2, initializer=orthogonal(), key=key)(x)

    sizes = np.linalg.norm(np.reshape(through(jax.random.key(0)), (3, 2, -1)), axis=-1)
    np.testing.assert_allclose(sizes, np.linalg.norm(x.reshape(3, 2, -1), axis=-1), rtol=1e-5)


@pytest.mark.parametrize(("option", "p"), [("groups", 2), ("batch_groups", 4)])
def test_groups_are_drawn_apart_and_a_single_one_from_the_key_itself(option, p):
    def of_key(key, shape, dtype=None):
        return jnp.broadcast_to(jax.random.key_data(key)[-1].astype(jnp.float32), shape)

    @jax.jit
    def draw(key):
        one, two = (Conv1d(4, 4, 2, 3, **{option: count}, initializer=of_key, key=key).weight for count in (1, 2))
        return one, two, of_key(key, (4, 4, 3, 2, 2)), [of_key(each, (2, p, 3, 2, 2)) for each in jax.random.split(key)]

    one, two, whole, parts = draw(jax.random.key(7))
    assert np.array_equal(one, whole)
    assert np.array_equal(two, np.concatenate(parts))
    assert not np.array_equal(*parts)
