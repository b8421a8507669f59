import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from jax.test_util import check_grads

from matrinox import functional, io, nn
from matrinox.contract import ContractError

RNG = np.random.default_rng(0)
# Four batches of six examples, each of two neurons.
BATCHES = RNG.normal(size=(4, 6, 2, 3, 3)) * RNG.uniform(1, 3, size=(4, 1, 2, 3, 3)) + RNG.normal(size=(4, 1, 2, 3, 3))
X = jnp.asarray(BATCHES[0], jnp.float32)


def batch_norm(p=2, n=3, **options):
    return eqx.nn.make_with_state(nn.BatchNorm)(p, n, **options)


def z_norm(p=2, n=3, **options):
    return eqx.nn.make_with_state(nn.ZNorm)(p, n, **options)


def copy(state):
    """A state that can be spent, while `state` stays."""
    return jax.tree.map(lambda leaf: leaf, state)


run = eqx.filter_jit(lambda layer, x, state: layer(x, state))


def trained(layer, state, batches):
    for x in batches:
        _, state = run(layer, x, state)
    return state


def statistics(layer, state):
    """Running mean and variance."""
    return state.get(layer.statistics)[1:]


def test_batch_norm_by_hand():
    # Mean 2, variance 1; the weight is 3, the bias 10.
    layer, state = batch_norm(1, 1, eps=1e-12)
    layer = eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (jnp.array([[[3.0]]]), jnp.array([[[10.0]]])))
    y, state = layer(jnp.array([1.0, 3.0])[:, None, None, None], state)
    assert y.ravel().tolist() == [7, 13]
    count, mean, variance = state.get(layer.statistics)
    assert (count, mean, variance) == (1, 2, 1)
    y, _ = eqx.nn.inference_mode(layer)(jnp.array([[[4.0]]]), state)
    assert y.tolist() == [[[16]]]


def test_batch_norm_equals_float64_numpy(x64):
    entry, per_neuron = batch_norm(), batch_norm(per="neuron")
    mean, variance = BATCHES[0].mean(0), BATCHES[0].var(0)
    y, state = run(entry[0], BATCHES[0], entry[1])
    np.testing.assert_allclose(y, (BATCHES[0] - mean) / np.sqrt(variance + 1e-5), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(statistics(entry[0], state), (mean, variance), rtol=1e-10)
    mean, variance = (function(BATCHES[0], axis=(0, 2, 3), keepdims=True)[0] for function in (np.mean, np.var))
    y, state = run(per_neuron[0], BATCHES[0], per_neuron[1])
    np.testing.assert_allclose(y, (BATCHES[0] - mean) / np.sqrt(variance + 1e-5), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(statistics(per_neuron[0], state), (mean, variance), rtol=1e-10)


def equinox_twin(mode):
    layer, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(2, "batch", momentum=0.9, mode=mode)
    if mode == "batch":
        # It divides out what its zeros contribute to the running mean, but the running variance starts from ones.
        count, (mean, variance) = state.get(layer.batch_counter), state.get(layer.batch_state_index)
        state = state.set(layer.batch_state_index, (mean, jnp.zeros_like(variance))).set(layer.batch_counter, count)
    return layer, state


@eqx.filter_jit
def run_twin(layer, state, x):
    return jax.vmap(layer, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)


def test_batch_norm_equals_its_equinox_twin_when_n_is_1():
    theirs, their_state = equinox_twin("batch")
    ours, our_state = batch_norm(n=1, momentum=0.9)
    weight, bias = jnp.array([[0.5, 2.0], [1.0, -1.0]])
    theirs = eqx.tree_at(lambda layer: (layer.weight, layer.bias), theirs, (weight, bias))
    ours = eqx.tree_at(lambda layer: (layer.weight, layer.bias), ours, (weight[:, None, None], bias[:, None, None]))
    for x in np.asarray(BATCHES[:, :, :, 0, 0], np.float32):
        expected, their_state = run_twin(theirs, their_state, x)
        y, our_state = run(ours, x[..., None, None], our_state)
        np.testing.assert_allclose(np.asarray(y)[..., 0, 0], expected, rtol=1e-5, atol=1e-5)
    debiased = np.asarray(their_state.get(theirs.batch_state_index)) / (1 - 0.9 ** len(BATCHES))
    np.testing.assert_allclose(np.squeeze(statistics(ours, our_state)), debiased, rtol=1e-5)
    expected, _ = run_twin(eqx.nn.inference_mode(theirs), their_state, x)
    y, _ = run(eqx.nn.inference_mode(ours), x[..., None, None], our_state)
    np.testing.assert_allclose(np.asarray(y)[..., 0, 0], expected, rtol=1e-5, atol=1e-5)


def test_the_first_batch_counts_in_full_as_in_the_other_mode_of_equinox():
    theirs, their_state = equinox_twin("ema")
    ours, our_state = batch_norm(n=1, momentum=0.9)
    x = np.asarray(BATCHES[0, :, :, 0, 0], np.float32)
    _, their_state = run_twin(theirs, their_state, x)
    _, our_state = run(ours, x[..., None, None], our_state)
    expected, _ = run_twin(eqx.nn.inference_mode(theirs), their_state, x)
    y, _ = run(eqx.nn.inference_mode(ours), x[..., None, None], our_state)
    np.testing.assert_allclose(np.asarray(y)[..., 0, 0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.9999])
def test_running_statistics_are_means_in_which_each_batch_weighs_momentum_times_the_next(momentum):
    layer, state = batch_norm(momentum=momentum)
    state = trained(layer, state, np.asarray(BATCHES, np.float32))
    weights = momentum ** np.arange(3.0, -1, -1)
    weights = (weights / weights.sum())[:, None, None, None]
    mean, variance = statistics(layer, state)
    np.testing.assert_allclose(mean, (weights * BATCHES.mean(1)).sum(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, (weights * BATCHES.var(1)).sum(0), rtol=1e-5)


def test_inference_uses_the_running_statistics_and_leaves_them():
    layer, state = batch_norm()
    state = trained(layer, state, [X])
    mean, variance = statistics(layer, state)
    y, after = eqx.nn.inference_mode(layer)(10 * X, state)
    assert after is state
    np.testing.assert_allclose(y, (10 * X - mean) / np.sqrt(variance + 1e-5), rtol=1e-5, atol=1e-5)
    assert eqx.nn.inference_mode(layer)(X[0], state)[0].shape == X[0].shape


def test_inference_before_the_first_batch_takes_mean_0_and_variance_1():
    layer, state = batch_norm(inference=True, eps=3.0)
    np.testing.assert_allclose(layer(X, state)[0], X / 2, rtol=1e-6)


def losses(layer, state, x, **options):
    """Of the outputs' weighted sum, with the new state as well."""

    def loss(arrays, x):
        y, after = run(eqx.combine(arrays, rest), x)
        weights = jnp.asarray(RNG_WEIGHTS, y.dtype).reshape(y.shape)
        return jnp.sum(weights * y), (y, after)

    def run(layer, x):
        if not options:
            return layer(x, copy(state))
        return jax.vmap(lambda x: layer(x, copy(state)), out_axes=(0, None), **options)(x)

    arrays, rest = eqx.partition(layer, eqx.is_inexact_array)
    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(arrays, x)


RNG_WEIGHTS = RNG.normal(size=X.size)


@pytest.mark.parametrize("per", ["entry", "neuron"])
def test_vmap_with_an_axis_name_equals_one_batched_call_in_values_state_and_gradients(per):
    batched, state = batch_norm(per=per)
    named, _ = batch_norm(per=per, axis_name="batch")
    expected = losses(batched, state, X)
    for one, other in zip(
        jax.tree.leaves(expected), jax.tree.leaves(losses(named, state, X, axis_name="batch")), strict=True
    ):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_names_of_several_maps_and_leading_axes_make_one_batch():
    batched, state = batch_norm()
    named, _ = batch_norm(axis_name=("outer", "inner"))
    x = jnp.asarray(RNG.normal(size=(2, 2, 3, 2, 3, 3)), jnp.float32)

    @jax.jit
    def both(x):
        inner = jax.vmap(lambda x: named(x, copy(state)), axis_name="inner", out_axes=(0, None))
        return batched(x, copy(state)), jax.vmap(inner, axis_name="outer", out_axes=(0, None))(x)

    for one, other in zip(*map(jax.tree.leaves, both(x)), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


def test_a_sharded_batch_equals_one_batched_call():
    batched, state = batch_norm()
    named, _ = batch_norm(axis_name="data")
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    specs = PartitionSpec("data"), PartitionSpec()
    run = jax.jit(jax.shard_map(named, mesh=mesh, in_specs=specs, out_specs=specs))
    for one, other in zip(jax.tree.leaves(batched(X, copy(state))), jax.tree.leaves(run(X, state)), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


def test_training_gradients_match_finite_differences(x64):
    layer, state = batch_norm(p=1, n=2)

    def run(weight, bias, x):
        edited = eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, (weight, bias))
        return edited(x, copy(state))[0]

    check_grads(jax.jit(run), (*RNG.normal(size=(2, 1, 2, 2)), BATCHES[0, :3, :1, :2, :2]), order=1, modes=["rev"])


def test_gradients_at_a_constant_batch_are_finite():
    layer, state = batch_norm()
    y, pullback = jax.vjp(jax.jit(lambda x: layer(x, copy(state))[0]), jnp.full((4, 2, 3, 3), 0.1))
    np.testing.assert_allclose(y, 0, atol=1e-4)
    assert np.isfinite(pullback(X[:4])[0]).all()


@pytest.mark.parametrize("make", [batch_norm, lambda: z_norm(axis="all")])
def test_no_gradient_flows_into_the_state(make):
    layer, state = make()

    def kept(x):
        _, mean, variance = layer(x, copy(state))[1].get(layer.statistics)
        return jnp.sum(mean) + jnp.sum(variance)

    assert not np.any(jax.jit(jax.grad(kept))(X))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("make", [batch_norm, lambda **options: z_norm(axis="channel_last", **options)])
def test_statistics_of_half_precision_are_in_single_precision(make, dtype):
    layer, state = make(dtype=dtype)
    # A spread of one part in 250 is gone from a mean in bfloat16; the sums are beyond float16.
    x = jnp.asarray(np.tile(1000 + 8 * np.round(BATCHES[0]), (20, 1, 1, 1)), dtype)
    y, state = run(layer, x, state)
    wide = np.asarray(x, float)
    mean, variance = statistics(layer, state)
    assert y.dtype == dtype
    assert mean.dtype == variance.dtype == jnp.float32
    axes = (0,) if make is batch_norm else (0, 2, 3)
    centred = wide - wide.mean(axes, keepdims=True)
    np.testing.assert_allclose(
        np.asarray(y, float), centred / np.sqrt(wide.var(axes, keepdims=True) + 1e-5), rtol=0.01, atol=0.005
    )
    assert eqx.filter_eval_shape(eqx.nn.inference_mode(layer), x, state)[0].dtype == dtype


def test_double_precision_of_the_input_does_not_change_that_of_the_state(x64):
    layer, state = batch_norm(dtype=jnp.float32)
    y, state = eqx.filter_eval_shape(layer, BATCHES[0], state)
    assert y.dtype == jnp.float64
    assert {leaf.dtype for leaf in statistics(layer, state)} == {jnp.dtype(jnp.float32)}


def model():
    return nn.Sequential([nn.BatchNorm(2, 3, momentum=0.5), nn.ReLU(), nn.ZNorm(2, 3, axis="all"), nn.Mean()])


def test_a_sequential_hands_the_state_on_under_jit_and_in_inference():
    net, state = eqx.nn.make_with_state(model)()
    eager, eager_state = net(X, copy(state))
    y, state = eqx.filter_jit(net)(X, state)
    np.testing.assert_allclose(y, eager, rtol=1e-5, atol=1e-6)
    for one, other in zip(jax.tree.leaves(eager_state), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
    first, _, second, _ = net
    assert [int(state.get(layer.statistics)[0]) for layer in (first, second)] == [1, 1]
    np.testing.assert_allclose(statistics(first, state)[0], X.mean(0), rtol=1e-5, atol=1e-6)
    _, after = eqx.filter_jit(eqx.nn.inference_mode(net))(X, state)
    assert eqx.tree_equal(after, state)
    with pytest.raises(ValueError, match=r"`state` \(=None\) is needed, as layers\[0\] \(BatchNorm\) is stateful"):
        net(X)


def test_model_and_state_are_saved_and_loaded_together(tmp_path):
    net, state = eqx.nn.make_with_state(model)()
    state = trained(net, state, [X, 2 * X])
    io.save(tmp_path / "net.safetensors", (net, state))
    loaded, loaded_state = io.load(tmp_path / "net.safetensors", like=eqx.nn.make_with_state(model)())
    assert eqx.tree_equal(loaded_state, state)
    net, loaded = eqx.nn.inference_mode((net, loaded))
    np.testing.assert_array_equal(loaded(X, loaded_state)[0], net(X, state)[0])


def test_training_on_a_single_example_is_refused_with_the_remedies():
    layer, state = batch_norm()
    remedies = (
        r"training takes at least 2: add a batch axis, name a mapped one by `axis_name`, or switch the model to "
        r"inference with eqx\.nn\.inference_mode\(model\)"
    )
    with pytest.raises(
        ValueError, match=rf"`x` \(=float32\[2, 3, 3\]\) holds 1 example for each statistic.*{remedies}"
    ):
        layer(X[0], state)
    with pytest.raises(ValueError, match=r"`x` \(=float32\[1, 1, 2, 3, 3\]\) holds 1 example for each"):
        layer(X[None, :1], state)
    with pytest.raises(ValueError, match=r"`x` \(=float32\[0, 2, 3, 3\]\) holds 0 examples for each"):
        layer(X[:0], state)
    with pytest.raises(ValueError, match="holds 1 example for each"):
        jax.vmap(lambda x: layer(x, copy(state)))(X)
    per_neuron, state = batch_norm(per="neuron")
    with pytest.raises(ValueError, match="holds 1 example for each"):
        per_neuron(X[0], state)
    named, state = batch_norm(axis_name="batch")
    with pytest.raises(ValueError, match="holds 1 example for each"):
        jax.vmap(lambda x: named(x, copy(state)), axis_name="batch")(X[:1])
    assert jax.vmap(lambda x: named(x, copy(state))[0], axis_name="batch")(X[:2]).shape == (2, 2, 3, 3)


def test_a_name_of_no_map_around_the_call_is_refused():
    layer, state = batch_norm(axis_name=("rows", "batch"))
    expected = r"`axis_name` \(='rows'\) must name an axis of a map around this call: call the model under jax\.vmap"
    with pytest.raises(ValueError, match=expected):
        jax.vmap(lambda x: layer(x, copy(state)), axis_name="batch")(X)
    assert eqx.nn.inference_mode(layer)(X, state)[0].shape == X.shape
    layer, state = z_norm(axis="all", batch_axis_name="batch")
    with pytest.raises(ValueError, match=r"`batch_axis_name` \(='batch'\) must name an axis of a map"):
        layer(X, state)


@pytest.mark.parametrize("inference", [False, True])
def test_statistics_of_another_shape_are_refused(inference):
    layer, _ = eqx.nn.make_with_state(nn.BatchNorm)(p=4, n=2, inference=inference)
    _, other = eqx.nn.make_with_state(nn.BatchNorm)(p=6, n=2)
    with pytest.raises(
        ValueError, match=r"`state` holds no statistics of this BatchNorm: build the model and its state"
    ):
        layer(jnp.ones((8, 4, 2, 2)), other)


def test_the_state_of_another_model_is_refused():
    layer, _ = batch_norm()
    _, other = eqx.nn.make_with_state(model)()
    with pytest.raises(
        ValueError, match=r"`state` holds no statistics of this BatchNorm: build the model and its state"
    ):
        layer(X, other)


def test_running_norms_refuse_options_out_of_range():
    for momentum in (1, -0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"`momentum` \(={momentum}\) must be from 0 up to, but not including, 1"):
            nn.BatchNorm(2, 3, momentum=momentum)
    with pytest.raises(ValueError, match=r"`momentum` \(=1\) must be from 0 up to"):
        nn.ZNorm(2, 3, axis="all", momentum=1)
    with pytest.raises(ValueError, match=r"`eps` \(=0\) must be positive and finite"):
        nn.BatchNorm(2, 3, eps=0)
    with pytest.raises(ValueError, match=r"`epsilon` \(=0\) must be positive and finite"):
        nn.ZNorm(2, 3, axis="all", epsilon=0)
    with pytest.raises(ValueError, match=r"`p` \(=0\) must be at least 1"):
        nn.BatchNorm(0, 3)
    with pytest.raises(ValueError, match=r"`space\[1\]` \(=0\) must be at least 1"):
        nn.ZNorm(2, 3, axis="all", space=(4, 0))
    with pytest.raises(ValueError, match=r"`axis` \(=3\) must be of the 3 axes of an example: choose from -3 to 2"):
        nn.ZNorm(2, 3, axis=3)
    with pytest.raises(ContractError, match=r"ZNorm got space as a list; it takes tuple\[\(\)\] or "):
        nn.ZNorm(2, 3, axis="all", space=[4])
    with pytest.raises(
        ContractError, match=r"BatchNorm got per as 'neurons' \(str\); it takes 'entry' or 'neuron': did you mean"
    ):
        nn.BatchNorm(2, 3, per="neurons")
    with pytest.raises(ContractError, match="BatchNorm got axis_name"):
        nn.BatchNorm(2, 3, axis_name=["batch"])
    with pytest.raises(ContractError, match=r"BatchNorm\(p=2, n=3\) got state as None; it takes a State"):
        batch_norm()[0](X, None)


def test_running_norms_refuse_a_wrong_shape():
    layer, state = batch_norm()
    with pytest.raises(ContractError, match=r"BatchNorm\(p=2, n=3\) got x .*axis -1 is 4, n is 3"):
        layer(jnp.ones((5, 2, 3, 4)), state)
    layer, state = z_norm(axis="all", space=(4,))
    with pytest.raises(
        ContractError, match=r"ZNorm\(p=2, n=3\) got x .*takes \(\*batch, 4, p=2, n=3, n=3\): axis -4 is 6"
    ):
        layer(X, state)


def test_z_norm_by_hand():
    # Mean 2, variance 1, of which a tenth comes in.
    layer, state = z_norm(1, 1, axis="all", epsilon=1e-12)
    y, state = layer(jnp.array([1.0, 3.0])[:, None, None, None], state)
    assert y.ravel().tolist() == [-1, 1]
    mean, variance = statistics(layer, state)
    np.testing.assert_allclose([mean.item(), variance.item()], [0.2, 1], rtol=1e-6)


SPACE = {
    # The axis option, the axes of an example (h, p, n, n) or (p, h, n, n), and the shape of the statistics.
    "all": ((-4, -3, -2, -1), (1, 1, 1, 1)),
    "channel_last": ((-4, -2, -1), (1, 2, 1, 1)),
    "channel_first": ((-3, -2, -1), (2, 1, 1, 1)),
    (): ((), (6, 2, 3, 3)),
    (0, -1): ((-4, -1), (1, 2, 3, 1)),
    2: ((-2,), (6, 2, 1, 3)),
}


@pytest.mark.parametrize("axis", SPACE, ids=str)
def test_z_norm_runs_over_the_batch_and_any_axes_of_an_example(x64, axis):
    axes, shape = SPACE[axis]
    batches = np.swapaxes(BATCHES, 1, 2) if axis == "channel_first" else BATCHES
    layer, state = z_norm(axis=axis, space=(6,))
    y, state = eqx.filter_jit(layer)(batches, state)
    mean, variance = batches.mean((0, *axes), keepdims=True), batches.var((0, *axes), keepdims=True)
    np.testing.assert_allclose(y, (batches - mean) / np.sqrt(variance + 1e-5), rtol=1e-10, atol=1e-12)
    assert statistics(layer, state)[0].shape == shape
    np.testing.assert_allclose(statistics(layer, state), [0.1 * mean[0], 0.9 + 0.1 * variance[0]], rtol=1e-10)
    y, after = eqx.nn.inference_mode(layer)(batches[0], state)
    assert after is state
    mean, variance = statistics(layer, state)
    np.testing.assert_allclose(y, (batches[0] - mean) / np.sqrt(variance + 1e-5), rtol=1e-10, atol=1e-12)


def test_z_norm_running_statistics_keep_the_share_of_momentum():
    layer, state = z_norm(axis="all", momentum=0.75)
    state = trained(layer, state, np.asarray(BATCHES, np.float32))
    mean, variance = 0.0, 1.0
    for x in BATCHES:
        mean, variance = 0.75 * mean + 0.25 * x.mean(), 0.75 * variance + 0.25 * x.var()
    np.testing.assert_allclose(np.squeeze(statistics(layer, state)), (mean, variance), rtol=1e-5)


def test_z_norm_trains_as_its_functional_twin_under_vmap():
    layer, state = z_norm(axis="channel_last", batch_axis_name="batch")
    mapped = jax.vmap(lambda x: layer(x, copy(state)), axis_name="batch", out_axes=(0, None))
    twin = jax.vmap(lambda x: functional.z_norm(x, "channel_last", "batch"), axis_name="batch")
    batched, batched_state = z_norm(axis="channel_last")
    y, after = mapped(X)
    np.testing.assert_allclose(y, twin(X), rtol=1e-5, atol=1e-6)
    for one, other in zip(jax.tree.leaves(batched(X, batched_state)), jax.tree.leaves((y, after)), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


def test_z_norm_of_all_but_the_neurons_trains_as_batch_norm_per_neuron():
    (layer, state), (other, other_state) = z_norm(axis="channel_last"), batch_norm(per="neuron")
    np.testing.assert_array_equal(layer(X, state)[0], other(X, other_state)[0])


def test_z_norm_starts_from_what_its_initializers_give():
    options = {"mean_initializer": jax.random.normal, "variance_initializer": jax.nn.initializers.constant(4.0)}
    layer, state = z_norm(axis="channel_last", key=jax.random.key(0), **options)
    mean, variance = statistics(layer, state)
    assert len(set(mean.ravel().tolist())) == 2
    assert variance.ravel().tolist() == [4, 4]
    y, _ = eqx.nn.inference_mode(layer)(X, state)
    np.testing.assert_allclose(y, (X - mean) / np.sqrt(4 + 1e-5), rtol=1e-5, atol=1e-6)


def test_z_norm_refuses_an_initializer_of_another_shape():
    expected = r"`mean_initializer` gave the shape \(\), \(2, 1, 1\) is due: return an array of the shape asked"
    with pytest.raises(ValueError, match=expected):
        nn.ZNorm(2, 3, axis="channel_last", mean_initializer=lambda key, shape, dtype: jnp.zeros(()))


def test_z_norm_refuses_to_train_on_a_single_value():
    layer, state = z_norm(axis=())
    with pytest.raises(ValueError, match=r"holds 1 value for each statistic.*name a mapped one by `batch_axis_name`"):
        layer(X[0], state)
    layer, state = z_norm(axis="all")
    np.testing.assert_allclose(layer(X[0], state)[0], functional.z_norm(X[0], "all"), rtol=1e-6)
