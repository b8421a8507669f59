import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import group_norm, instance_norm, layer_norm, rms_norm, z_norm

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 2, 3, 2, 4, 3, 3)) + 1
IMAGES, IMAGE = X[0], X[0, 0]
WEIGHT, BIAS = RNG.normal(size=(2, 4, 3, 3))


def standardised(x, axes, eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def grouped(x, groups, axes):
    split = x.reshape(*x.shape[:-3], groups, -1, *x.shape[-2:])
    return standardised(split, (*range(-4 - axes, -4), -3, -2, -1)).reshape(x.shape)


NORMS = {
    "layer": (layer_norm, {}, lambda x: standardised(x, (-3, -2, -1))),
    "rms": (rms_norm, {}, lambda x: x / np.sqrt((x**2).mean((-3, -2, -1), keepdims=True) + 1e-5)),
    "group": (group_norm, {"groups": 2}, lambda x: grouped(x, 2, 0)),
    "group of a sequence": (group_norm, {"groups": 2, "axes": 1}, lambda x: grouped(x, 2, 1)),
    "group of an image": (group_norm, {"groups": 2, "axes": 2}, lambda x: grouped(x, 2, 2)),
    "group of a volume": (group_norm, {"groups": 2, "axes": 3}, lambda x: grouped(x, 2, 3)),
    "instance": (instance_norm, {}, lambda x: standardised(x, (-2, -1))),
    "instance of an image": (instance_norm, {"axes": 2}, lambda x: standardised(x, (-5, -4, -2, -1))),
}
EACH = pytest.mark.parametrize(("norm", "options", "formula"), NORMS.values(), ids=NORMS)
ONE_OF_EACH = pytest.mark.parametrize(
    ("norm", "options", "formula"),
    [NORMS[name] for name in ("layer", "rms", "group of an image", "instance of an image")],
)
EACH_FUNCTION = pytest.mark.parametrize(
    ("norm", "options"), [(layer_norm, {}), (rms_norm, {}), (group_norm, {"groups": 2}), (instance_norm, {})]
)


def test_layer_norm_of_two_neurons_worked_out_by_hand():
    # Mean 3, variance 4.
    x = jnp.array([[[1.0]], [[5.0]]])
    assert layer_norm(x, jnp.array([[[2.0]], [[10.0]]]), jnp.array([[[0.5]], [[0.0]]]), eps=1e-12).tolist() == [
        [[-1.5]],
        [[10.0]],
    ]


def test_rms_norm_of_two_neurons_worked_out_by_hand():
    # Mean square 25.
    x = jnp.array([[[1.0]], [[-7.0]]])
    np.testing.assert_allclose(rms_norm(x, eps=1e-12).ravel(), [0.2, -1.4], rtol=1e-6)


def test_group_norm_of_two_groups_worked_out_by_hand():
    x = jnp.array([0.0, 2.0, 10.0, 30.0])[:, None, None]
    np.testing.assert_allclose(group_norm(x, groups=2, eps=1e-12).ravel(), [-1, 1, -1, 1], rtol=1e-6)


@EACH
def test_norms_equal_their_formulas_in_numpy(x64, norm, options, formula):
    plain, scaled = jax.jit(lambda x: (norm(x, **options), norm(x, WEIGHT, BIAS, **options)))(X)
    np.testing.assert_allclose(plain, formula(X), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(scaled, formula(X) * WEIGHT + BIAS, rtol=1e-10, atol=1e-12)


@ONE_OF_EACH
def test_norm_gradients_match_finite_differences(x64, norm, options, formula):
    x, weight, bias = IMAGE[:2, :, :2, :2, :2], WEIGHT[:2, :2, :2], BIAS[:2, :2, :2]
    check_grads(jax.jit(lambda *args: norm(*args, **options)), (x, weight, bias), order=1, modes=["rev"])


@ONE_OF_EACH
def test_norms_take_any_leading_axes(norm, options, formula):
    x = jnp.asarray(IMAGES, jnp.float32)
    batched, mapped, single = jax.jit(
        lambda x: (norm(x, **options), jax.vmap(lambda x: norm(x, **options))(x), norm(x[1], **options))
    )(x)
    np.testing.assert_allclose(mapped, batched, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(single, batched[1], rtol=1e-5, atol=1e-6)


@ONE_OF_EACH
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_statistics_of_half_precision_are_taken_in_single_precision(norm, options, formula, dtype):
    # A spread of one part in 250 around 1000 is gone from a mean in bfloat16; the sums are beyond float16.
    x = jnp.asarray(1000 + 8 * np.round(IMAGE), dtype)
    y = jax.jit(lambda x: norm(x, np.ones((4, 3, 3), np.float32), **options))(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(np.asarray(y, float), formula(np.asarray(x, float)), rtol=0.01, atol=0.005)


@ONE_OF_EACH
def test_a_large_mean_does_not_cancel_the_variance(norm, options, formula):
    # E[x²] − E[x]² would be off by about 8 here, where the variance is 1.
    x = np.asarray(10_000 + IMAGE, np.float32)
    np.testing.assert_allclose(jax.jit(lambda x: norm(x, **options))(x), formula(x.astype(float)), atol=0.005)


@EACH_FUNCTION
def test_gradients_at_a_constant_input_are_finite(norm, options):
    x = jnp.full((2, 4, 3, 3), 0.1).at[0].set(0)
    y, pullback = jax.jit(lambda x: jax.vjp(lambda x: norm(x, **options), x))(x)
    assert np.isfinite(jax.jit(pullback)(jnp.asarray(np.stack([WEIGHT, BIAS]), jnp.float32))[0]).all()
    if norm is not rms_norm:
        np.testing.assert_allclose(y, 0, atol=1e-4)


def test_one_group_is_layer_norm_and_a_group_for_each_neuron_instance_norm(x64):
    np.testing.assert_allclose(group_norm(X, WEIGHT, BIAS, groups=1), layer_norm(X, WEIGHT, BIAS), rtol=1e-12)
    np.testing.assert_array_equal(group_norm(X, WEIGHT, BIAS, groups=4, axes=2), instance_norm(X, WEIGHT, BIAS, axes=2))


@EACH_FUNCTION
def test_norms_refuse_a_wrong_shape(norm, options):
    with pytest.raises(ContractError, match=f"{norm.__name__} got x .*axis -1 is 5, n is 4"):
        norm(jnp.ones((2, 4, 5)), **options)
    with pytest.raises(ContractError, match=f"{norm.__name__} got bias .*axis 0 is 3, p is 2"):
        norm(jnp.ones((2, 4, 4)), None, jnp.ones((3, 4, 4)), **options)


def test_norms_over_space_refuse_a_missing_space_axis():
    with pytest.raises(ContractError, match=r"takes \(\*batch, h, w, p, n, n\): it has 4 axes, at least 5 are due"):
        instance_norm(jnp.ones((5, 2, 3, 3)), axes=2)


@EACH_FUNCTION
@pytest.mark.parametrize("eps", [0.0, -1.0, float("nan"), float("inf")])
def test_norms_refuse_an_eps_that_is_not_positive(norm, options, eps):
    with pytest.raises(ValueError, match=rf"`eps` \(={eps}\) must be positive and finite: choose a small number"):
        norm(jnp.ones((2, 3, 3)), eps=eps, **options)


def test_group_norm_refuses_groups_that_do_not_divide_p():
    with pytest.raises(ValueError, match=r"`p` \(=4\) must be divisible by `groups` \(=3\): choose `p` as a multiple"):
        group_norm(X, groups=3)


def test_norms_over_space_refuse_a_count_of_axes_that_no_example_has():
    with pytest.raises(ValueError, match=r"`axes` \(=4\) must be from 0 to 3: count the space axes"):
        group_norm(X, groups=2, axes=4)
    with pytest.raises(ValueError, match=r"`axes` \(=-1\) must be from 0 to 3"):
        instance_norm(X, axes=-1)


AXES = {
    "all": (0, 1, 2, 3, 4),
    "channel_last": (0, 1, 3, 4),
    "channel_first": (1, 2, 3, 4),
    -1: (4,),
    2: (2,),
    (0, -3): (0, 2),
}


@pytest.mark.parametrize("axis", AXES, ids=str)
def test_z_norm_equals_its_formula_in_numpy(x64, axis):
    np.testing.assert_allclose(
        jax.jit(lambda x: z_norm(x, axis))(IMAGE), standardised(IMAGE, AXES[axis]), rtol=1e-10, atol=1e-12
    )


def test_z_norm_along_no_axis_leaves_nothing(x64):
    assert np.array_equal(z_norm(IMAGE, ()), np.zeros_like(IMAGE))


def test_z_norm_along_a_named_axis_equals_that_along_the_axis_itself(x64):
    expected = standardised(IMAGES, (0, 1, 2, 4, 5))
    mapped = jax.jit(jax.vmap(lambda x: z_norm(x, "channel_last", "batch"), axis_name="batch"))
    np.testing.assert_allclose(mapped(IMAGES), expected, rtol=1e-10, atol=1e-12)
    inner = jax.vmap(lambda x: z_norm(x, "channel_last", ("rows", "batch")), axis_name="rows")
    np.testing.assert_allclose(jax.jit(jax.vmap(inner, axis_name="batch"))(IMAGES), expected, rtol=1e-10, atol=1e-12)


def test_z_norm_takes_its_epsilon_into_the_root(x64):
    np.testing.assert_allclose(z_norm(IMAGE, "all", (), 3.0), standardised(IMAGE, (0, 1, 2, 3, 4), 3.0), rtol=1e-12)


def test_z_norm_of_half_precision_takes_its_statistics_in_single_precision():
    x = jnp.asarray(1000 + 8 * np.round(IMAGE), jnp.bfloat16)
    y = jax.jit(lambda x: z_norm(x, "all"))(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        np.asarray(y, float), standardised(np.asarray(x, float), (0, 1, 2, 3, 4)), rtol=0.01, atol=0.005
    )


def test_z_norm_refuses_axes_that_are_not_there():
    x = jnp.ones((2, 3, 3))
    with pytest.raises(ValueError, match=r"`axis` \(='chanel_last'\) must be .*: did you mean 'channel_last'\?"):
        z_norm(x, "chanel_last")
    with pytest.raises(ValueError, match=r"`axis` \(=3\) must be of the 3 axes of an example: choose from -3 to 2"):
        z_norm(x, 3)
    with pytest.raises(ValueError, match=r"`axis` \(=\(0, -3\)\) must name each axis once: choose from -3 to -1"):
        z_norm(x, (0, -3))
    with pytest.raises(ValueError, match=r"`batch_axis_name` \(='batch'\) must name an axis of a map around this call"):
        z_norm(x, "all", "batch")
    with pytest.raises(ValueError, match=r"`epsilon` \(=0\) must be positive and finite"):
        z_norm(x, "all", epsilon=0)


def test_z_norm_refuses_matrices_that_are_not_square():
    with pytest.raises(ContractError, match=r"z_norm got x .*axis -1 is 5, n is 4"):
        z_norm(jnp.ones((2, 4, 5)), "all")
    with pytest.raises(ContractError, match="it has 2 axes, at least 3 are due"):
        z_norm(jnp.ones((4, 4)), "channel_last")
