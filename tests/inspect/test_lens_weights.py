"""Which leaves are weights of matrix neurons, and under which paths they are found."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from matrinox import nn
from matrinox.inspect.lens_weights import weights_of
from matrinox.nn import lora

K0, K1, K2 = jax.random.split(jax.random.key(0), 3)


def filled(build):
    """What `build` makes, its arrays drawn by NumPy, so that no initializer is compiled."""
    random = np.random.default_rng(0)

    def drawn(leaf):
        return jnp.asarray(random.normal(size=leaf.shape), leaf.dtype) if hasattr(leaf, "shape") else leaf

    return jax.tree.map(drawn, eqx.filter_eval_shape(build))


def two_layers():
    return filled(lambda: nn.Sequential([nn.Dense(p=2, q=2, n=3, key=K0), nn.Dense(p=2, q=2, n=3, key=K1)]))


def shapes(model, where="**"):
    return {path: measured.values.shape for path, measured in weights_of(model, where).items()}


def test_the_weights_of_every_family_are_found_by_path():
    layers = {
        "dense": lambda: nn.Dense(p=2, q=3, n=3, key=K0),
        "conv": lambda: nn.Conv2d(p=2, q=3, n=3, kernel=3, key=K0),
        "cell": lambda: nn.LSTMCell(p=2, q=3, n=3, key=K0),
        "bilinear": lambda: nn.BilinearDense(p=2, q=3, n=3, rank=2, key=K0),
        "table": lambda: nn.Embedding(5, p=2, n=3, key=K0),
    }
    assert shapes({name: filled(build) for name, build in layers.items()}) == {
        "['bilinear'].left": (3, 2, 2, 3, 3),
        "['bilinear'].right": (3, 2, 2, 3, 3),
        "['cell'].weight": (12, 5, 3, 3),
        "['conv'].weight": (3, 2, 3, 3, 3, 3),
        "['dense'].weight": (3, 2, 3, 3),
        "['table'].weight": (5, 2, 3, 3),
    }


def test_biases_and_scales_are_taken_where_a_pattern_names_them():
    model = filled(lambda: nn.Sequential([nn.Dense(p=2, q=3, n=3, key=K0), nn.LayerNorm(p=3, n=3)]))
    assert shapes(model) == {"layers[0].weight": (3, 2, 3, 3)}
    assert shapes(model, "layers[0].*") == {"layers[0].weight": (3, 2, 3, 3)}
    assert shapes(model, "**.bias") == {"layers[0].bias": (3, 3, 3), "layers[1].bias": (3, 3, 3)}
    assert list(shapes(model, "**.weight")) == ["layers[0].weight", "layers[1].weight"]


def test_what_only_looks_like_a_matrix_is_left_out():
    """A square kernel of numbers, a gate's mixing matrices, and rates of decay, which act entry by entry."""
    scalar = filled(lambda: eqx.nn.Conv2d(2, 3, 3, key=K0))
    gate = filled(lambda: nn.InvariantGate(p=3, n=3, key=K0))
    mamba = filled(lambda: nn.Mamba(p=2, q=2, n=3, state=3, key=K1))
    found = [path.rpartition(".")[0] for path in shapes({"scalar": scalar, "gate": gate, "mamba": mamba})]
    assert found == [f"['mamba'].{name}" for name in ("input_proj", "conv", "select_proj", "delta_proj", "output_proj")]
    assert list(shapes(mamba, "A_log")) == ["A_log"]


class Own(eqx.Module):
    plain: jax.Array
    mixed: Float[Array, "q p n n"]
    image: Float[Array, "c h w"]
    bias: jax.Array
    count: jax.Array


def test_in_a_module_of_ones_own_annotations_come_before_shapes():
    model = Own(
        jnp.ones((2, 3, 3)), jnp.ones((2, 2, 3, 3)), jnp.ones((2, 3, 3)), jnp.ones((2, 3, 3)), jnp.ones((2, 3, 3), int)
    )
    assert shapes(model) == {"plain": (2, 3, 3), "mixed": (2, 2, 3, 3)}
    assert shapes({"a": [jnp.ones((2, 3, 3)), jnp.ones((3, 3)), jnp.ones((2, 3, 4))]}) == {"['a'][0]": (2, 3, 3)}


def test_weights_that_are_computed_are_those_that_the_model_is_called_with():
    model = two_layers()
    tied = nn.Tied(model, {"layers[0].weight": "layers[1].weight"})
    assert shapes(tied) == {"model.layers[1].weight": (2, 2, 3, 3)}

    constrained = nn.Constrained(nn.Residual(model), {"body.layers[1].weight": nn.Symmetric()})
    moved = jax.tree.map(lambda leaf: leaf + jax.random.normal(K2, leaf.shape), constrained)
    found = weights_of([moved], "**")
    assert list(found) == ["[0].model.body.layers[0].weight", "[0].model.body.layers[1].weight"]
    assert found["[0].model.body.layers[1].weight"].symmetry == pytest.approx(np.ones((2, 2)), abs=1e-6)
    assert found["[0].model.body.layers[0].weight"].symmetry.max() < 0.99

    adapted = lora(model, 1, where="layers[0]", key=K2)
    adapted = eqx.tree_at(lambda adapted: adapted.adapters["layers[0]"].up, adapted, replace_fn=lambda up: up + 1.0)
    weight = weights_of(adapted, "model.layers[0].*")["model.layers[0].weight"].values
    assert np.array_equal(weight, adapted.whole().layers[0].weight)
    assert not np.array_equal(weight, model.layers[0].weight)

    both = nn.Constrained(tied, {"model.layers[1].weight": nn.Antisymmetric()})
    (only,) = weights_of(both, "**").values()
    assert only.path == "model.model.layers[1].weight"
    assert only.symmetry == pytest.approx(-np.ones((2, 2)), abs=1e-6)


def test_a_pattern_that_finds_no_weight_says_what_to_do():
    layer, linear = two_layers()[0], eqx.nn.Linear(2, 2, key=K0)
    with pytest.raises(ValueError, match=r"\(='wieght'\) matches no leaf: the nearest of 2 paths is 'weight'"):
        weights_of(layer, "wieght")
    with pytest.raises(
        ValueError, match=r"`where` \(='\*\*'\) matches 2 leaves and no weight .* name a bias or a scale"
    ):
        weights_of(linear, "**")
    assert weights_of(linear, "**", may_be_none=True) == {}
