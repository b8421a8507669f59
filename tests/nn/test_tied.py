import copy
import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from layer_table.row import drawn

from matrinox import io, nn
from matrinox.contract import ContractError
from matrinox.nn.tied import TiedLeaf
from matrinox.paths import find

KEYS = jax.random.split(jax.random.key(0), 4)
TIE = {"layers[2].weight": "layers[0].weight"}


def autoencoder(key=0):
    encoder, decoder = jax.random.split(KEYS[key])
    return nn.Sequential(
        [
            nn.Dense(p=3, q=2, n=2, initializer=drawn, key=encoder),
            nn.Tanh(),
            nn.Dense(p=2, q=3, n=2, initializer=drawn, transposed=True, key=decoder),
        ]
    )


def draw(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def parameters(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array)))


def test_a_tied_weight_by_hand():
    model = nn.Sequential([nn.Dense(p=1, q=1, n=1, use_bias=False, key=KEYS[0]) for _ in range(2)])
    model = eqx.tree_at(lambda m: m.layers[0].weight, model, jnp.full((1, 1, 1, 1), 3.0))
    tied = nn.Tied(model, {"layers[1].weight": "layers[0].weight"})
    assert tied(jnp.ones((1, 1, 1))) == 9
    assert (
        jax.grad(lambda x: eqx.tree_at(lambda t: t.model.layers[0].weight, tied, x)(jnp.ones((1, 1, 1))).sum())(
            jnp.full((1, 1, 1, 1), 3.0)
        )
        == 6
    )


def test_an_autoencoder_decodes_by_the_adjoint_of_its_encoder(x64):
    model = jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_array(leaf) else leaf, autoencoder())
    x = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
    weight = np.asarray(model.layers[0].weight)
    hidden = np.tanh(np.einsum("qpij,bpjk->bqik", weight, x))
    expected = np.einsum("qpji,bqjk->bpik", weight, hidden)
    np.testing.assert_allclose(nn.Tied(model, TIE)(x), expected, rtol=1e-12)


def test_there_is_one_leaf_which_counts_once():
    model = autoencoder()
    tied = nn.Tied(model, TIE)
    assert parameters(tied) == parameters(model) - model.layers[2].weight.size
    assert list(find(eqx.filter(tied, eqx.is_array), "**.weight")) == ["model.layers[0].weight"]
    assert tied.model.layers[2].weight == TiedLeaf("layers[0].weight")
    assert jax.tree.leaves(optax.adam(0.1).init(eqx.filter(tied, eqx.is_inexact_array)))[1].shape == (2, 3, 2, 2)


def test_the_gradient_is_the_sum_over_both_uses():
    model, x = autoencoder(), draw(4, 3, 2, 2)
    model = eqx.tree_at(lambda m: m.layers[2].weight, model, model.layers[0].weight)
    separate = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum(jnp.sin(m(x)))))(model)
    tied = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum(jnp.sin(m(x)))))(nn.Tied(model, TIE))
    both = separate.layers[0].weight + separate.layers[2].weight
    np.testing.assert_allclose(tied.model.layers[0].weight, both, rtol=1e-5, atol=1e-6)
    assert float(jnp.abs(separate.layers[2].weight).max()) > 0.01


def test_training_steps_keep_the_weights_equal():
    tied, x = nn.Tied(autoencoder(), TIE), draw(4, 3, 2, 2)
    optimiser = optax.adamw(0.1)
    memory = optimiser.init(eqx.filter(tied, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(tied, memory):
        loss, gradient = eqx.filter_value_and_grad(lambda tied: jnp.mean((tied(x) - x) ** 2))(tied)
        updates, memory = optimiser.update(gradient, memory, eqx.filter(tied, eqx.is_inexact_array))
        return loss, eqx.apply_updates(tied, updates), memory

    losses, before = [], tied.model.layers[0].weight
    for _ in range(5):
        loss, tied, memory = step(tied, memory)
        losses.append(float(loss))
    whole = tied.whole()
    assert whole.layers[2].weight is whole.layers[0].weight
    assert losses[-1] < losses[0]
    assert not np.array_equal(before, tied.model.layers[0].weight)


def test_two_makings_of_a_tied_model_are_alike():
    one, other = nn.Tied(autoencoder(), TIE), nn.Tied(autoencoder(), TIE)
    assert eqx.tree_equal(one, other)
    traces = []

    @eqx.filter_jit
    def run(tied, x):
        traces.append(0)
        return tied(x)

    run(one, draw(3, 2, 2))
    run(other, draw(3, 2, 2))
    assert len(traces) == 1


@dataclasses.dataclass(frozen=True)
class Config:
    p: int = dataclasses.field(default=3, metadata={"min": 1, "max": 8})


class Autoencoder(eqx.Module):
    tied: nn.Tied
    config: Config = eqx.field(static=True)

    def __init__(self, config, *, key):
        encoder, decoder = jax.random.split(key)
        layers = [
            nn.Dense(p=config.p, q=2, n=2, key=encoder),
            nn.Dense(p=2, q=config.p, n=2, transposed=True, key=decoder),
        ]
        self.tied = nn.Tied(nn.Sequential(layers), {"layers[1].weight": "layers[0].weight"})
        self.config = config

    def __call__(self, x, *, key=None):
        return self.tied(x)


def test_a_saved_model_is_rebuilt_from_its_config_with_its_ties(tmp_path):
    model, x = Autoencoder(Config(), key=KEYS[1]), draw(3, 2, 2)
    io.save(tmp_path / "model.safetensors", model)
    assert [leaf.path for leaf in io.read_header(tmp_path / "model.safetensors").arrays] == [
        "tied.model.layers[0].weight",
        "tied.model.layers[0].bias",
        "tied.model.layers[1].bias",
    ]
    loaded = io.load(tmp_path / "model.safetensors", Autoencoder)
    assert eqx.tree_equal(loaded, model)
    np.testing.assert_array_equal(loaded(x), model(x))


class Language(eqx.Module):
    embedding: nn.Embedding
    head: nn.FlattenLinear

    def __call__(self, tokens, *, key=None):
        return self.head(self.embedding(tokens))


def language(vocabulary=5, features=5):
    return Language(
        nn.Embedding(vocabulary=vocabulary, p=2, n=2, initializer=drawn, key=KEYS[0]),
        nn.FlattenLinear(p=2, features=features, n=2, initializer=drawn, key=KEYS[1]),
    )


def test_a_head_tied_to_an_embedding_attends_by_its_table():
    tied = nn.Tied(language(), {"head.weight": "embedding.weight"})
    tokens = jnp.array([0, 3])
    np.testing.assert_allclose(tied(tokens), tied.model.embedding.attend(tied.model.embedding(tokens)), rtol=1e-6)
    np.testing.assert_array_equal(tied.whole().head(tied.whole().embedding(tokens)), tied(tokens))


def test_a_pattern_ties_many_places_to_one():
    model = nn.Sequential([nn.Dense(p=2, q=2, n=2, initializer=drawn, key=key) for key in KEYS[:3]])
    tied = nn.Tied(model, {"layers[*].weight": "layers[1].weight", "layers[2].bias": "layers[0].bias"})
    whole = tied.whole()
    assert all(layer.weight is model.layers[1].weight for layer in whole.layers)
    assert whole.layers[2].bias is whole.layers[0].bias
    assert whole.layers[1].bias is model.layers[1].bias


def test_keys_go_to_models_that_take_them_and_other_arguments_as_they_are():
    class Pair(eqx.Module):
        a: jax.Array
        b: jax.Array

        def __call__(self, x, *, scale):
            return scale * (self.a + self.b) * x

    pair = nn.Tied(Pair(jnp.ones(2), jnp.zeros(2)), {"b": "a"})
    np.testing.assert_array_equal(pair(3.0, scale=2.0, key=KEYS[0]), [12.0, 12.0])
    model = nn.Sequential([*autoencoder().layers, nn.Dropout(0.5)])
    x = draw(3, 2, 2)
    tied = nn.Tied(model, TIE)
    np.testing.assert_array_equal(tied(x, key=KEYS[1]), tied.whole()(x, key=KEYS[1]))


def test_state_passes_through_a_tied_model():
    def make():
        return nn.Tied(nn.Sequential([*autoencoder().layers, nn.BatchNorm(p=3, n=2)]), TIE)

    tied, state = eqx.nn.make_with_state(make)()
    assert tied.is_stateful()
    y, after = nn.Sequential([tied])(draw(4, 3, 2, 2), state)
    assert y.shape == (4, 3, 2, 2)
    assert after.get(tied.model.layers[3].statistics)[0] == 1
    assert not nn.Tied(autoencoder(), TIE).is_stateful()


@pytest.mark.parametrize("transform", [lambda f: f, eqx.filter_jit], ids=["eager", "jit"])
def test_a_refusal_tells_the_path_in_the_model(transform):
    tied = nn.Tied(autoencoder(), TIE)
    with pytest.raises(ContractError, match=r"^model\.layers\[0\]: Dense\(p=3, q=2, n=2\) got x float32\[2, 2, 2\]"):
        transform(tied)(draw(2, 2, 2))
    wrong = eqx.tree_at(lambda tied: tied.model.layers[1], tied, nn.Trace())
    with pytest.raises(ContractError, match=r"^model\.layers\[2\]: Dense"):
        transform(wrong)(draw(3, 2, 2))


def test_the_joints_of_a_sequential_see_through():
    tied = nn.Tied(autoencoder(), TIE)
    with pytest.raises(ContractError, match=r"layers\[1\]: Dense.*but layers\[0\]\.model\.layers\[2\]: Dense.* gives"):
        nn.Sequential([tied, nn.Dense(p=2, q=2, n=2, key=KEYS[0])])
    with pytest.raises(ContractError, match=r"^layers\[1\]\.body\.model\.layers\[0\]: Dense\(p=3"):
        nn.Sequential([nn.Dense(p=3, q=2, n=2, key=KEYS[0]), nn.Residual(tied)])


def test_a_tied_leaf_tells_where_its_weight_is():
    tied = nn.Tied(autoencoder(), TIE)
    assert repr(tied.model.layers[2].weight) == "TiedLeaf(source='layers[0].weight')"
    assert copy.deepcopy(tied.model.layers[2].weight) == TiedLeaf("layers[0].weight")
    with pytest.raises(AttributeError, match=r"tied to `layers\[0\]\.weight` and has no `shape` of its own: take"):
        _ = tied.model.layers[2].weight.shape


@pytest.mark.parametrize(
    ("ties", "error", "message"),
    [
        ({}, ValueError, r"`ties` \(=\{\}\) must hold at least one: give \{target: source\}, by path\."),
        (
            {"layers[2].wieght": "layers[0].weight"},
            ValueError,
            r"'layers\[2\]\.wieght'\) matches no leaf: the nearest of . paths is 'layers\[2\]\.weight'",
        ),
        ({"layers[2].weight": "encoder"}, ValueError, r"'encoder'\) matches no leaf: the nearest"),
        ({"layers[2]": "layers[0].weight"}, ValueError, r"names a subtree, not a leaf"),
        (
            {"layers[2].weight": "layers[0].*"},
            ValueError,
            r"`ties` \(='layers\[0\]\.\*'\) must name one leaf, and names layers\[0\]\.weight, layers\[0\]\.bias",
        ),
        ({"layers[0].bias": "layers[0].bias"}, ValueError, r"ties 'layers\[0\]\.bias' to itself: name another leaf"),
        (
            {"layers[2].bias": "layers[0].bias"},
            ContractError,
            r"`ties` ties 'layers\[2\]\.bias' float32\[3, 2, 2\] to 'layers\[0\]\.bias' float32\[2, 2, 2\]: tied",
        ),
    ],
)
def test_ties_that_cannot_be_are_refused(ties, error, message):
    with pytest.raises(error, match=message):
        nn.Tied(autoencoder(), ties)


def test_chains_of_ties_and_two_sources_are_refused():
    model = nn.Sequential([nn.Dense(p=2, q=2, n=2, initializer=drawn, key=key) for key in KEYS[:3]])
    first, second, third = (f"layers[{i}].weight" for i in range(3))
    with pytest.raises(
        ValueError, match=r"ties 'layers\[0\]\.weight' to 'layers\[1\]\.weight', which is tied to 'layers"
    ):
        nn.Tied(model, {first: second, second: third})
    with pytest.raises(
        ValueError, match=r"'layers\[0\]\.weight' to 'layers\[1\]\.weight' and to 'layers\[2\]\.weight'"
    ):
        nn.Tied(model, {first: second, "layers[0].w*": third})


def test_only_arrays_can_be_tied_and_only_what_is_called():
    model = nn.Sequential([nn.Dropout(0.5), nn.Dropout(0.5)])
    with pytest.raises(ContractError, match=r"names 'layers\[1\]\.rate', a float: only arrays can be tied"):
        nn.Tied(model, {"layers[1].rate": "layers[0].rate"})
    with pytest.raises(TypeError, match=r"`model` \(=3\) must be callable|model as 3"):
        nn.Tied(3, {"a": "b"})
