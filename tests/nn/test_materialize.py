import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from matrinox import io, nn
from matrinox.contract import AnyArray, ContractError, contract
from matrinox.rand import KeyStream

KEY = jax.random.key(0)
X = jax.ShapeDtypeStruct((5, 2, 3, 3), jnp.float32)


def plain(layer_class=nn.Dense, **options):
    """A lazy layer of weights that are quick to draw."""
    return nn.Lazy(layer_class, initializer=jax.nn.initializers.ones, **options)


class Model(eqx.Module):
    encoder: eqx.nn.Sequential
    head: nn.Lazy

    def __call__(self, x):
        return self.head(self.encoder(x))


@contract
class Doubler(eqx.Module):
    """A user's own layer, which takes no key to be built and names its sizes as it likes."""

    weight: Float[Array, "width side side"]

    def __init__(self, width: int, side: int):
        self.weight = jnp.full((width, side, side), 2.0)

    @property
    def width(self) -> int:
        return self.weight.shape[0]

    @property
    def side(self) -> int:
        return self.weight.shape[-1]

    def __call__(self, x: Float[AnyArray, "*batch {self.width} {self.side} {self.side}"], *, key=None):
        return self.weight * x


def test_a_lazy_layer_gets_the_sizes_of_its_input():
    model, found = nn.materialize(plain(q=4, use_bias=False), X, key=KEY)
    assert type(model) is nn.Dense
    assert (model.p, model.q, model.n, model.bias) == (2, 4, 3, None)
    assert found == (("model", "Dense(p=2, q=4, n=3)", {"p": 2, "n": 3}, (5, 2, 3, 3), (5, 4, 3, 3)),)


def test_a_lazy_layer_behind_another_gets_what_that_one_gives():
    model, found = nn.materialize(nn.Sequential([plain(q=4), nn.ReLU(), plain(q=1)]), X, key=KEY)
    assert [layer.weight.shape for layer in (model[0], model[2])] == [(4, 2, 3, 3), (1, 4, 3, 3)]
    assert [row.path for row in found] == ["layers[0]", "layers[2]"]
    # of ones, entry by entry: 2 neurons times 3 rows, then 4 neurons times 3 rows
    assert np.array_equal(model(jnp.ones((2, 3, 3))), np.full((1, 3, 3), 72.0))


def test_the_report_prints_as_a_table():
    model = nn.Sequential([plain(nn.Conv2d, q=3, kernel=2), nn.GlobalAvgPool2d(), plain(q=4, n=2)])
    _, found = nn.materialize(model, jnp.ones((4, 5, 1, 2, 2)), key=KEY)
    assert str(found).splitlines() == [
        "path       layer                  found     input            output",
        "layers[0]  Conv2d(p=1, q=3, n=2)  p=1, n=2  (4, 5, 1, 2, 2)  (3, 4, 3, 2, 2)",
        "layers[2]  Dense(p=3, q=4, n=2)   p=3       (3, 2, 2)        (4, 2, 2)",
    ]


def test_layers_of_every_family_can_be_lazy():
    lazy = [
        plain(nn.Conv1d, q=3, kernel=2),
        nn.Lazy(nn.LayerNorm),
        nn.Lazy(nn.Scaler),
        nn.Lazy(nn.Bias, per="neuron"),
        plain(nn.BilinearDense, q=2),
        nn.Lazy(Doubler),
    ]
    model, found = nn.materialize(nn.Sequential(lazy), jax.ShapeDtypeStruct((4, 2, 3, 3), float), key=KEY)
    assert [type(layer) for layer in model.layers] == [layer.layer_class for layer in lazy]
    assert [tuple(row.sizes.values()) for row in found] == [(2, 3), *[(3, 3)] * 4, (2, 3)]
    assert list(found[-1].sizes) == ["width", "side"]
    assert eqx.filter_eval_shape(model, jnp.ones((4, 2, 3, 3))).shape == (3, 2, 3, 3)


def test_a_lazy_cell_gets_its_size_from_the_second_argument():
    cell, found = nn.materialize(plain(nn.RNNCell, q=4), jnp.ones((4, 3, 3)), jnp.ones((2, 3, 3)), key=KEY)
    assert (cell.p, cell.q, cell.n) == (2, 4, 3)
    assert found[0].output == ((4, 3, 3), (4, 3, 3))


def test_lazy_layers_sit_anywhere_in_a_model_and_its_errors_name_their_paths():
    lazy = Model(eqx.nn.Sequential([eqx.nn.Identity(), plain(q=4)]), plain(q=1))
    model, found = nn.materialize(lazy, X, key=KEY)
    assert [row.path for row in found] == ["encoder.layers[1]", "head"]
    with pytest.raises(ContractError, match=r"^encoder.layers\[1\]: Dense\(p=2, q=4, n=3\) got x .*p is 2"):
        model(jnp.ones((5, 3, 3)))
    # of ones, entry by entry: 2 neurons times 3 rows, then 4 neurons times 3 rows
    assert np.array_equal(eqx.filter_jit(model)(jnp.ones((2, 3, 3))), np.full((1, 3, 3), 72.0))


def test_a_materialized_model_is_saved_and_loaded(tmp_path):
    lazy = nn.Sequential([nn.Lazy(nn.Dense, q=4, accumulation_dtype="float32"), nn.Tanh()])
    model, _ = nn.materialize(lazy, X, key=KEY)
    skeleton, _ = nn.materialize(lazy, X, key=jax.random.key(1))
    io.save(tmp_path / "model.safetensors", model)
    assert eqx.tree_equal(io.load(tmp_path / "model.safetensors", like=skeleton), model)


def test_the_trace_computes_nothing_and_draws_each_weight_once():
    ran, drawn = [], []

    def watched(x, key=None):
        ran.append(isinstance(x, jax.core.Tracer))
        return x

    def initializer(key, shape, dtype):
        weight = jax.random.normal(key, shape)
        drawn.append(isinstance(weight, jax.core.Tracer))
        return weight

    model = nn.Sequential([nn.Lambda(watched), nn.Lazy(nn.Dense, q=4, initializer=initializer)])
    nn.materialize(model, np.ones((2, 3, 3)), key=KEY)
    assert ran == [True]
    assert drawn == [True, False]


def test_each_layer_has_a_key_of_its_path_alone():
    lazy = nn.Lazy(nn.Dense, q=2, initializer=jax.nn.initializers.normal())
    one, _ = nn.materialize(nn.Sequential([lazy, nn.ReLU()]), X, key=KEY)
    two, _ = nn.materialize(nn.Sequential([lazy, lazy]), X, key=KEY)
    assert np.array_equal(one[0].weight, two[0].weight)
    assert not np.array_equal(two[0].weight, two[1].weight)
    expected = jax.nn.initializers.normal()(KeyStream(KEY).key("layers[0]"), (2, 2, 3, 3))
    assert np.array_equal(one[0].weight, expected)


def test_a_model_can_be_materialized_inside_jit():
    model = eqx.filter_jit(lambda key: nn.materialize(nn.Sequential([plain(q=4)]), X, key=key)[0])(KEY)
    assert model[0].weight.shape == (4, 2, 3, 3)


def test_a_lazy_layer_inside_loops_and_transforms_is_one_layer():
    class Loops(eqx.Module):
        layer: nn.Lazy

        def __call__(self, x):
            x, _ = jax.lax.scan(lambda carry, _: (self.layer(carry), None), x, None, length=2)
            return jax.checkpoint(lambda x: self.layer(x))(jax.vmap(self.layer)(x))

    model, found = nn.materialize(Loops(plain(q=2)), X, key=KEY)
    assert [row.path for row in found] == ["layer"]
    assert eqx.filter_eval_shape(model, X).shape == X.shape


def test_a_lazy_layer_may_be_an_option_of_another():
    model, found = nn.materialize(nn.Lazy(nn.Lambda, train=plain(q=4)), X, key=KEY)
    assert model.train.weight.shape == (4, 2, 3, 3)
    assert {row.path for row in found} == {"model", "train"}


def test_a_lazy_cell_gets_its_sizes_from_the_layer_that_runs_it():
    lazy = nn.Sequential([nn.Lazy(nn.Recurrent, cell=nn.Lazy(nn.RNNCell, q=4), reverse=True), plain(q=1)])
    model, found = nn.materialize(lazy, jax.ShapeDtypeStruct((6, 2, 3, 3), float), key=KEY)
    assert (model[0].cell.p, model[0].cell.q, model[0].cell.n, model[0].reverse) == (2, 4, 3, True)
    assert [row[:3] for row in found] == [
        ("layers[0]", "Recurrent(p=2, q=4, n=3)", {"p": 2, "n": 3}),
        ("layers[1]", "Dense(p=4, q=1, n=3)", {"p": 4, "n": 3}),
    ]
    assert np.array_equal(model[0].cell.weight, nn.RNNCell(2, 4, 3, key=KeyStream(KEY).key("layers[0].cell")).weight)


def test_stateful_lazy_layers_are_filled_before_the_state_is_made():
    model, found = nn.materialize(nn.Sequential([plain(q=4), nn.Lazy(nn.BatchNorm)]), X, key=KEY)
    assert found[1][1:] == ("BatchNorm(p=4, n=3)", {"p": 4, "n": 3}, (5, 4, 3, 3), (5, 4, 3, 3))
    model, state = eqx.nn.make_with_state(lambda: model)()
    y, state = eqx.filter_jit(model)(np.random.default_rng(0).normal(size=X.shape), state)
    np.testing.assert_allclose(np.mean(y, 0), 0, atol=1e-5)


def test_a_model_with_a_state_is_traced_with_it():
    lazy, state = eqx.nn.make_with_state(lambda: nn.Sequential([nn.BatchNorm(p=2, n=3), plain(q=4)]))()
    model, _ = nn.materialize(lazy, X, key=KEY, state=state)
    assert eqx.filter_eval_shape(model, X, state)[0].shape == (5, 4, 3, 3)
    with pytest.raises(ValueError, match=r"`state` \(=None\) is needed, as the model is one of eqx.nn.make_with_state"):
        nn.materialize(lazy, X, key=KEY)
    late, state = eqx.nn.make_with_state(lambda: nn.Sequential([nn.Lazy(nn.BatchNorm)]))()
    with pytest.raises(ValueError, match=r"too early for layers\[0\], Lazy\(BatchNorm\).*materialize the model first"):
        nn.materialize(late, X, key=KEY, state=state)


def test_a_model_that_needs_a_key_is_traced_with_one():
    model, _ = nn.materialize(nn.Sequential([nn.Dropout(0.5), plain(q=4)]), X, key=KEY)
    assert model[1].p == 2


def test_a_lazy_layer_that_is_not_reached_is_named():
    class Half(Model):
        def __call__(self, x):
            return self.encoder(x)

    lazy = Half(eqx.nn.Sequential([plain(q=3)]), plain(q=1))
    with pytest.raises(ValueError, match=r"^head: Lazy\(Dense, q=1\) is not reached by the example: call it in"):
        nn.materialize(lazy, X, key=KEY)


def test_a_lazy_layer_that_is_reached_with_other_sizes_is_refused():
    class Twice(Model):
        def __call__(self, x):
            return self.head(self.head(x))

    lazy = Twice(eqx.nn.Sequential([]), plain(q=4))
    with pytest.raises(
        ContractError, match=r"head: Lazy\(Dense, q=4\) is reached with p=2, n=3, then with p=4, n=3: a layer has one"
    ):
        nn.materialize(lazy, X, key=KEY)


def test_an_input_that_no_size_fits_is_refused_with_the_path():
    model = nn.Sequential([nn.ReLU(), plain(q=3)])
    with pytest.raises(ContractError, match=r"^layers\[1\]: Lazy\(Dense, q=3\) got x .*\(\*batch, p, n, n\): it has 2"):
        nn.materialize(nn.Sequential([nn.Lambda(lambda x: x[0, 0]), plain(q=3)]), X, key=KEY)
    with pytest.raises(ContractError, match=r"^layers\[1\]: Lazy\(Dense, q=3\) got x .*its dtype is int32"):
        nn.materialize(nn.Sequential([nn.Lambda(lambda x: x.astype(int)), *model[1:]]), X, key=KEY)


def test_what_calls_a_lazy_layer_refuses_its_output_by_its_name():
    with pytest.raises(ContractError, match=r"^Residual adds .* body: Lazy gives float32\[5, 4, 3, 3\]"):
        nn.materialize(nn.Residual(plain(q=4)), X, key=KEY)


def test_what_a_layer_refuses_when_built_names_the_lazy_one():
    with pytest.raises(ValueError, match=r"`q` \(=0\) must be at least 1") as caught:
        nn.materialize(nn.Sequential([plain(q=0)]), X, key=KEY)
    assert "layers[0]: Lazy(Dense, q=0) found p=2, n=3." in caught.value.__notes__


def test_the_joints_of_a_lazy_layer_are_checked_once_it_is_filled():
    class Apart(eqx.Module):
        layers: nn.Sequential

        def __call__(self, x):
            return self.layers[0](x), self.layers[1](x)

    # As long as it is lazy, a layer fits everywhere.
    lazy = Apart(nn.Sequential([nn.Dense(p=2, q=4, n=3, key=KEY), plain(q=1)]))
    with pytest.raises(ContractError, match=r"^layers: layers\[1\]: Dense\(p=2, q=1, n=3\) takes .* axis -3 is 4"):
        nn.materialize(lazy, X, key=KEY)


def test_a_model_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match=r"`model` \(=dict\) must be callable: give what takes the example"):
        nn.materialize({"layer": plain(q=3)}, X, key=KEY)
