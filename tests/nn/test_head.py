import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError

KEY = jax.random.key(0)
READS = {"trace": nn.Trace(), "mean": nn.Mean(), "frobenius_norm": nn.FrobeniusNorm()}
HEADS = pytest.mark.parametrize("head", [nn.ClassificationHead, nn.RegressionHead])


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_heads_by_hand():
    x = jnp.array([[[1.0, 2.0], [3.0, 4.0]]])
    twice = lambda key, shape, dtype: 2 * jnp.broadcast_to(jnp.eye(2), shape)  # noqa: E731
    assert nn.ClassificationHead(p=1, classes=3, n=2, initializer=twice, key=KEY)(x).tolist() == [10, 10, 10]
    assert nn.RegressionHead(p=1, outputs=1, n=2, initializer=twice, key=KEY)(x).tolist() == [5]
    ones = lambda key, shape, dtype: jnp.ones(shape)  # noqa: E731
    layer = nn.FlattenLinear(p=1, features=2, n=2, initializer=ones, key=KEY)
    layer = eqx.tree_at(lambda layer: layer.bias, layer, jnp.array([0.0, 5.0]))
    assert layer(x).tolist() == [10, 15]


@HEADS
@pytest.mark.parametrize("read", READS)
def test_heads_are_a_dense_layer_and_a_read_out(head, read):
    layer, x = head(3, 5, 2, read=read, initializer=drawn, key=KEY), draw(4, 3, 2, 2)
    twin = nn.Sequential([nn.Dense(p=3, q=5, n=2, initializer=drawn, key=KEY), READS[read]])
    np.testing.assert_array_equal(layer(x), twin(x))


@HEADS
def test_heads_of_1x1_neurons_are_eqx_linear(head, x64):
    layer = head(3, 5, 1, initializer=drawn, key=KEY)
    linear = eqx.nn.Linear(3, 5, key=KEY)
    linear = eqx.tree_at(
        lambda linear: (linear.weight, linear.bias), linear, (layer.dense.weight[..., 0, 0], jnp.zeros(5))
    )
    x = np.random.default_rng(0).normal(size=(3,))
    np.testing.assert_allclose(layer(x[:, None, None]), linear(x), rtol=1e-12)


def test_flatten_linear_is_eqx_linear_on_flattened_input(x64):
    layer = nn.FlattenLinear(p=3, features=5, n=2, initializer=drawn, dtype=jnp.float64, key=KEY)
    linear = eqx.nn.Linear(12, 5, key=KEY)
    linear = eqx.tree_at(
        lambda linear: (linear.weight, linear.bias), linear, (layer.weight.reshape(5, 12), jnp.arange(5.0))
    )
    layer = eqx.tree_at(lambda layer: layer.bias, layer, jnp.arange(5.0))
    x = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
    np.testing.assert_allclose(layer(x), jax.vmap(linear)(x.reshape(4, 12)), rtol=1e-12)


def test_a_classification_head_can_be_any_linear_map_of_all_entries(x64):
    flat = nn.FlattenLinear(p=3, features=5, n=2, initializer=drawn, dtype=jnp.float64, key=KEY)
    head = nn.ClassificationHead(p=3, classes=5, n=2, use_bias=False, initializer=drawn, dtype=jnp.float64, key=KEY)
    head = eqx.tree_at(lambda head: head.dense.weight, head, jnp.swapaxes(flat.weight, -1, -2))
    x = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
    np.testing.assert_allclose(head(x), flat(x), rtol=1e-12)


def test_flatten_linear_keeps_the_variance_of_entries():
    y = nn.FlattenLinear(p=8, features=400, n=4, key=KEY)(3 * drawn(jax.random.key(1), (20, 8, 4, 4), float))
    assert 0.9 < float(jnp.var(y)) < 1.1


def test_sizes_are_read_off_the_weight():
    head = nn.ClassificationHead(p=3, classes=5, n=2, initializer=drawn, key=KEY)
    assert (head.p, head.classes, head.n) == (3, 5, 2)
    head = nn.RegressionHead(p=3, outputs=5, n=2, initializer=drawn, key=KEY)
    assert (head.p, head.outputs, head.n) == (3, 5, 2)
    layer = nn.FlattenLinear(p=3, features=5, n=2, use_bias=False, initializer=drawn, key=KEY)
    assert (layer.p, layer.features, layer.n, layer.bias) == (3, 5, 2, None)


def test_a_regression_head_reads_the_mean_by_default():
    assert nn.RegressionHead(1, 1, 1, key=KEY).read == "mean"
    assert nn.ClassificationHead(1, 1, 1, key=KEY).read == "trace"


def test_heads_refuse_what_does_not_fit():
    with pytest.raises(
        ContractError, match=r"ClassificationHead\(p=3, n=2, classes=5\) got x float32\[4, 2, 2\].*p is 3"
    ):
        nn.ClassificationHead(p=3, classes=5, n=2, initializer=drawn, key=KEY)(draw(4, 2, 2))
    with pytest.raises(ContractError, match=r"RegressionHead\(p=3, n=2, outputs=5\) got x float32\[4, 2, 2\].*p is 3"):
        nn.RegressionHead(p=3, outputs=5, n=2, initializer=drawn, key=KEY)(draw(4, 2, 2))
    with pytest.raises(ContractError, match=r"FlattenLinear\(p=3, n=2, features=5\) got x float32\[4, 2, 2\].*p is 3"):
        nn.FlattenLinear(p=3, features=5, n=2, initializer=drawn, key=KEY)(draw(4, 2, 2))
    with pytest.raises(ContractError, match="read"):
        nn.ClassificationHead(p=3, classes=5, n=2, read="determinant", key=KEY)


@pytest.mark.parametrize(
    ("head", "size"),
    [(nn.ClassificationHead, "classes"), (nn.RegressionHead, "outputs"), (nn.FlattenLinear, "features")],
)
def test_heads_refuse_sizes_below_one(head, size):
    with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1: choose a positive number"):
        head(**{"p": 2, "n": 2, size: 0}, key=KEY)
    with pytest.raises(ValueError, match=r"`p` \(=0\) must be at least 1"):
        head(**{"p": 0, "n": 2, size: 1}, key=KEY)


def test_the_joint_before_a_head_is_checked():
    with pytest.raises(ContractError, match=r"layers\[1\]: ClassificationHead.*axis -3 is 3, p is 4"):
        nn.Sequential(
            [
                nn.Dense(p=2, q=3, n=2, initializer=drawn, key=KEY),
                nn.ClassificationHead(p=4, classes=5, n=2, initializer=drawn, key=KEY),
            ]
        )
