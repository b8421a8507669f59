"""What weight decay leaves alone."""

import equinox as eqx
import jax
import jax.numpy as jnp

from matrinox import MatrixParams, nn
from matrinox.train.optim.decay import is_decayed
from matrinox.train.optim.owner import owned

KEY = jax.random.key(0)


def arrays(build) -> dict[str, bool]:
    """Whether each array of what is built, of which only shapes are, is decayed, by path."""
    places = owned(eqx.filter_eval_shape(build)).items()
    return {path: is_decayed(place) for path, place in places if isinstance(place.leaf, jax.ShapeDtypeStruct)}


def decayed(build) -> set[str]:
    return {path for path, is_so in arrays(build).items() if is_so}


def test_gains_and_shifts_are_left_alone():
    def layers():
        return (
            nn.LayerNorm(p=2, n=2),
            nn.RMSNorm(p=2, n=2),
            nn.GroupNorm(groups=1, p=2, n=2),
            nn.InstanceNorm(p=2, n=2, axes=0),
            eqx.nn.make_with_state(nn.BatchNorm)(p=2, n=2)[0],
            nn.FrobeniusNormalization(p=2, n=2),
            nn.SpectralNormalization(p=2, n=2),
            nn.Scaler(p=2, n=2),
            nn.Bias(p=2, n=2),
            eqx.nn.LayerNorm(3),
            eqx.nn.RMSNorm(3),
            eqx.nn.GroupNorm(1, 3),
        )

    assert len(arrays(layers)) > 12
    assert decayed(layers) == set()


def test_maps_are_decayed_and_their_biases_are_not():
    def layers():
        return {
            "dense": nn.Dense(p=1, q=1, n=2, key=KEY),
            "conv": nn.Conv1d(p=1, q=1, n=2, kernel=2, key=KEY),
            "cell": nn.GRUCell(p=1, q=1, n=2, reset_after=True, key=KEY),
            "bilinear": nn.BilinearDense(p=1, q=1, n=2, key=KEY),
            "head": nn.FlattenLinear(features=2, p=1, n=2, key=KEY),
            "linear": eqx.nn.Linear(2, 2, key=KEY),
            "gru": eqx.nn.GRUCell(2, 2, key=KEY),
            "params": MatrixParams(jnp.ones((1, 1, 2, 2)), jnp.ones((1, 2, 2))),
        }

    assert decayed(layers) == {
        "['dense'].weight",
        "['conv'].weight",
        "['cell'].weight",
        "['bilinear'].left",
        "['bilinear'].right",
        "['head'].weight",
        "['linear'].weight",
        "['gru'].weight_ih",
        "['gru'].weight_hh",
        "['params'].W",
    }


def test_tables_rates_and_first_states_are_left_alone():
    def layers():
        return {
            "embedding": nn.Embedding(3, p=1, n=2, key=KEY),
            "position": nn.LearnedPosition(length=3, p=1, n=2, key=KEY),
            "scalar": eqx.nn.Embedding(3, 2, key=KEY),
            "mamba": nn.Mamba(p=1, q=1, n=2, state=2, key=KEY),
            "scan": nn.MatrixScan(p=1, q=1, n=2, initial="learned", entries=2, key=KEY),
        }

    assert decayed(layers) == {
        *(f"['mamba'].{name}.weight" for name in ("input_proj", "conv", "select_proj", "delta_proj", "output_proj")),
        "['scan'].transition_proj.weight",
        "['scan'].input_proj.weight",
    }


def test_within_wrappers_each_layer_counts_for_what_it_is():
    dense = nn.Dense(p=2, q=2, n=2, key=KEY)
    base = nn.Sequential([dense, nn.LayerNorm(p=2, n=2), dense])
    weights = {"model.layers[0].weight", "model.layers[2].weight"}
    assert decayed(lambda: nn.Constrained(base, {"layers[0].weight": nn.Symmetric()})) == weights
    assert decayed(lambda: nn.Tied(base, {"layers[2].weight": "layers[0].weight"})) == {"model.layers[0].weight"}
    adapters = {f"adapters['layers[{place}]'].{side}" for place in (0, 2) for side in ("up", "down")}
    assert decayed(lambda: nn.lora(base, 1, "**", key=KEY)) == weights | adapters
