"""Every public name: documented, with shapes and errors, and under contract if it takes arrays.

Whoever adds a public callable that takes arrays adds a row to `EXAMPLES` (a layer: to `LAYERS`), or the walk fails.
"""

import importlib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import PRNGKeyArray

from matrinox import data, train
from matrinox.contract import ContractError
from matrinox.contract.axes import array_annotations, read_axes
from matrinox.contract.checked import MARK
from matrinox.params import MatrixParams

MODULES = [
    *("contract", "paths", "rand", "initializers", "params", "functional", "nn", "transforms", "inspect", "bridge"),
    *("io", "data", "train", "zoo"),
]


def public_names() -> Iterator[tuple[str, Any]]:
    for name in MODULES:
        module = importlib.import_module(f"matrinox.{name}")
        names = getattr(module, "__all__", None) or [
            key
            for key, value in vars(module).items()
            if not key.startswith("_") and getattr(value, "__module__", "").startswith(f"matrinox.{name}")
        ]
        for key in names:
            yield f"{name}.{key}", getattr(module, key)


CALLABLES = {name: value for name, value in public_names() if callable(value)}


def takes_arrays(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return False
    return any(is_array_hint(parameter.annotation) for parameter in parameters)


def is_array_hint(hint: Any) -> bool:
    return not set(array_annotations(hint)) <= set(array_annotations(PRNGKeyArray))


def test_there_is_a_public_api():
    assert len(CALLABLES) > 60


@pytest.mark.parametrize("name", CALLABLES)
def test_every_public_name_is_documented(name):
    documentation = inspect.getdoc(CALLABLES[name])
    assert documentation
    assert len(documentation.splitlines()[0]) >= len("`tanh(x)`.")


ARRAY_FUNCTIONS = {
    name: value
    for name, value in CALLABLES.items()
    if inspect.isfunction(inspect.unwrap(value)) and takes_arrays(value)
}
ARRAY_METHODS = {
    f"{name}.{key}": method
    for name, owner in CALLABLES.items()
    if inspect.isclass(owner)
    for key, method in inspect.getmembers(owner, inspect.isfunction)
    if (not key.startswith("_") or key in ("__init__", "__call__"))
    and method.__module__.startswith("matrinox")
    and takes_arrays(method)
}


@pytest.mark.parametrize("name", ARRAY_METHODS)
def test_every_method_of_arrays_is_under_contract(name):
    owner, method = CALLABLES[name.rpartition(".")[0]], ARRAY_METHODS[name]
    # The `__init__` of a dataclass fills in fields, which are checked behind it.
    fields_are_checked = hasattr(getattr(owner, "__check_init__", None), MARK)
    assert hasattr(method, MARK) or (name.endswith("__init__") and fields_are_checked)


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
def test_every_function_of_arrays_documents_shapes_and_errors(name):
    documentation = inspect.getdoc(ARRAY_FUNCTIONS[name]) or ""
    assert "**Returns:**" in documentation
    assert "**Raises:**" in documentation
    assert "`(" in documentation.split("**Arguments:**")[1].split("**Raises:**")[0]


# Gone with the process.
FOLDER = tempfile.TemporaryDirectory()


class Scores(eqx.Module):
    weight: jax.Array

    def __call__(self, x, *, key=None):
        return x @ self.weight


def example_arguments() -> dict[str, dict[str, Any]]:
    """Valid arguments of every public function that takes arrays."""
    x = jnp.ones((2, 4, 4))
    params = MatrixParams(jnp.ones((3, 2, 4, 4)), jnp.ones((3, 4, 4)))
    kernels = {axes: MatrixParams(jnp.ones((3, 2, *(2,) * axes, 4, 4)), jnp.ones((3, 4, 4))) for axes in (1, 2, 3)}
    grids = {axes: jnp.ones((*(5,) * axes, 2, 4, 4)) for axes in (1, 2, 3)}
    activations = "identity relu leaky_relu elu sigmoid tanh softplus gelu silu".split()  # noqa: SIM905
    activations += "relud leaky_relud elu_powered elud sigmoidd tanhd softplusd sst sss".split()  # noqa: SIM905
    examples = {
        "functional.adjoint": {"W": params.W},
        "functional.conjugation_dense": {
            "weight": jnp.ones((3, 2)),
            "trace_weight": jnp.ones((3, 2)),
            "x": x,
            "bias": jnp.ones((3,)),
        },
        "functional.conjugation_bilinear": {"left": jnp.ones((3, 2, 1)), "right": jnp.ones((3, 2, 1)), "x": x},
        "functional.invariant_gate": {"weight": jnp.ones((2, 2, 3)), "x": x, "bias": jnp.ones((2,))},
        "functional.bimap": {"weight": params.W, "x": x},
        "functional.reeig": {"x": x},
        "functional.logeig": {"x": x},
        "functional.trace_powers": {"x": x},
        "functional.characteristic_polynomial": {"x": x},
        "functional.determinant_ratios": {"x": x},
        "functional.bilinear_dense": {"U": jnp.ones((3, 2, 1, 4, 4)), "V": jnp.ones((3, 2, 1, 4, 4)), "x": x},
        "functional.dense": {"params": params, "x": x},
        "functional.frobenius_score": {"Q": x, "K": x},
        "functional.scaled_frobenius_score": {"Q": x, "K": x},
        "functional.matrix_attention": {"params": params, "Q": grids[1], "K": grids[1], "V": grids[1]},
        "functional.multihead_attention": {"Q": grids[1], "K": grids[1], "V": grids[1], "heads": 2},
        "functional.dot_product_attention_logits": {"query": grids[1], "key": grids[1]},
        "functional.apply_attention_weights": {"attention_weights": jnp.ones((3, 5)), "value": grids[1]},
        "functional.det": {"x": x},
        "functional.det_root": {"x": x},
        "functional.fold": {"x": jnp.ones((20,)), "n": 4},
        "functional.fold_frames": {"x": jnp.ones((20,)), "n": 2, "length": 5},
        "functional.patches": {"images": jnp.ones((8, 8, 1)), "n": 4},
        "functional.embed_pixels": {"x": jnp.ones((1, 8, 8, 1)), "n": 3},
        "functional.embed_sequence": {"x": jnp.ones((8,)), "n": 3},
        "functional.embedding": {"weight": jnp.ones((5, 2, 4, 4)), "x": jnp.zeros((3,), int)},
        "functional.unembed": {"weight": jnp.ones((5, 2, 4, 4)), "x": x},
        "functional.sinusoidal_positions": {"t": 3, "p": 2, "n": 4, "start_pos": jnp.zeros((5,), int)},
        "functional.rotary": {"x": grids[1], "start_pos": 2},
        "functional.dropout": {"x": x, "key": jax.random.key(0), "rate": 0.5},
        "functional.softmax": {"x": jnp.ones((5, 3))},
        "functional.tile": {"x": jnp.ones((5,)), "n": 2},
        "functional.matrix_mean": {"x": x},
        "functional.matrix_trace": {"x": x},
        "functional.frobenius_norm": {"x": x},
        "functional.frobenius_normalize": {"x": x, "gain": jnp.ones((2,))},
        "functional.spectral_norm": {"x": x},
        "functional.orthogonalize": {"x": x},
        "functional.symmetrize": {"x": x},
        "functional.antisymmetrize": {"x": x},
        "functional.triangularize": {"x": x},
        "functional.bound_spectral_norm": {"x": x},
        "functional.spectral_normalize": {"x": x, "gain": jnp.ones((2,))},
        "functional.layer_norm": {"x": x, "weight": x, "bias": x},
        "functional.rms_norm": {"x": x, "weight": x, "bias": x},
        "functional.group_norm": {"x": x, "weight": x, "bias": x, "groups": 2},
        "functional.instance_norm": {"x": x, "weight": x, "bias": x},
        "functional.z_norm": {"x": x, "axis": "all"},
        "functional.flatten": {"x": x},
        "functional.flatten_batch": {"x": grids[2]},
        "functional.flatten_space": {"x": grids[2]},
        "functional.flatten_linear": {"weight": params.W, "x": x, "bias": jnp.ones((3,))},
        "functional.reduce_sum": {"x": x},
        "functional.mse": {"prediction": jnp.ones((5, 2)), "target": jnp.ones((5, 2))},
        "functional.cross_entropy": {"logits": jnp.ones((5, 3)), "target": jnp.zeros((5,), int)},
        "functional.mae": {"prediction": jnp.ones((5, 2)), "target": jnp.ones((5, 2))},
        "functional.huber": {"prediction": jnp.ones((5, 2)), "target": jnp.ones((5, 2))},
        "functional.binary_cross_entropy": {"logits": jnp.ones((5, 2)), "target": jnp.ones((5, 2))},
        "functional.kl_divergence": {"logits": jnp.ones((5, 3)), "target": jnp.ones((5, 3)) / 3},
        "functional.cosine_distance": {"prediction": jnp.ones((5, 2)), "target": jnp.ones((5, 2))},
        "functional.info_nce": {"first": jnp.ones((5, 2)), "second": jnp.ones((5, 2))},
        "functional.accuracy": {"logits": jnp.ones((5, 3)), "target": jnp.zeros((5,), int)},
        "functional.top_k_accuracy": {"logits": jnp.ones((5, 3)), "target": jnp.zeros((5,), int), "k": 2},
        "functional.confusion_matrix": {
            "prediction": jnp.zeros((5,), int),
            "target": jnp.zeros((5,), int),
            "classes": 3,
        },
        "functional.r2": {"prediction": jnp.ones((5, 2)), "target": jnp.ones((5, 2))},
        "functional.perplexity": {"logits": jnp.ones((5, 3)), "target": jnp.zeros((5,), int)},
        "functional.bits_per_character": {"logits": jnp.ones((5, 3)), "target": jnp.zeros((5,), int)},
        "functional.cosine_similarities": {"first": jnp.ones((5, 2)), "second": jnp.ones((3, 2))},
    }
    fused = {gates: MatrixParams(jnp.ones((gates * 3, 5, 4, 4)), jnp.ones((gates * 3, 4, 4))) for gates in (1, 3, 4)}
    h = jnp.ones((3, 4, 4))
    states, reads = jnp.ones((2, 3, 4, 4)), jnp.ones((5, 3, 4, 4))
    examples |= {
        "functional.rnn_step": {"params": fused[1], "carry": h, "x": x},
        "functional.gru_step": {"params": fused[3], "carry": h, "x": x},
        "functional.lstm_step": {"params": fused[4], "carry": (h, h), "x": x},
        "functional.diagonal_scan": {"a": grids[1], "u": grids[1], "h": x},
        "functional.matrix_scan": {"a": grids[1], "u": grids[1], "h": x},
        "functional.snap": {"h": x, "table": jnp.ones((x.shape[-3], 3, *x.shape[-2:]))},
        "functional.squared_distances": {"h": x, "table": jnp.ones((x.shape[-3], 3, *x.shape[-2:]))},
        "functional.snapping_scan": {
            "a": grids[1],
            "u": grids[1],
            "h": x,
            "table": jnp.ones((x.shape[-3], 3, *x.shape[-2:])),
            "every": 2,
            "position": jnp.zeros((), int),
        },
        "functional.selective_scan": {
            "u": grids[1],
            "delta": grids[1],
            "A": states,
            "B": reads,
            "C": reads,
            "h": states,
        },
        "functional.selective_step": {"h": states, "u": x, "delta": x, "A": states, "B": h, "C": h, "D": x},
    }
    examples |= {
        "functional.keep_top_k": {"logits": jnp.ones((2, 5)), "k": 2},
        "functional.keep_top_p": {"logits": jnp.ones((2, 5)), "p": 0.5},
        "functional.sample_tokens": {"logits": jnp.ones((2, 5)), "key": jax.random.key(0)},
        "data.generate": {
            "model": lambda x: jnp.zeros((*x.shape, 5)),
            "prompt": jnp.zeros((2, 3), int),
            "length": 2,
            "lengths": jnp.asarray([3, 2]),
            "temperature": 0.0,
        },
    }
    optimiser = train.AdamW().build(10)
    state = train.TrainState.start(Scores(jnp.ones((2, 3))), optimiser, key=jax.random.key(0))
    examples |= {
        "data.shift_images": {"key": jax.random.key(0), "images": jnp.ones((5, 8, 8, 1)), "pixels": 1},
        "data.shear_images": {"key": jax.random.key(0), "images": jnp.ones((5, 8, 8, 1))},
        "data.crop_images": {"key": jax.random.key(0), "images": jnp.ones((5, 8, 8, 1)), "size": 4},
        "data.flip_images": {"key": jax.random.key(0), "images": jnp.ones((5, 8, 8, 1))},
        "data.cutout_images": {"key": jax.random.key(0), "images": jnp.ones((5, 8, 8, 1)), "size": 3},
        "data.add_noise": {"key": jax.random.key(0), "x": jnp.ones((5, 8))},
        "data.roll_signals": {"key": jax.random.key(0), "signals": jnp.ones((5, 8))},
        "data.scale_signals": {"key": jax.random.key(0), "signals": jnp.ones((5, 8))},
        "data.stretch_signals": {"key": jax.random.key(0), "signals": jnp.ones((5, 8))},
        "data.tilt_signals": {"key": jax.random.key(0), "signals": jnp.ones((5, 8))},
        "data.rotate_neurons": {"key": jax.random.key(0), "x": jnp.ones((5, 2, 4, 4))},
        "data.augmented": {"key": jax.random.key(0), "inputs": jnp.ones((5, 8)), "augment": (data.Noise(),)},
        "data.two_views": {"key": jax.random.key(0), "first": jnp.ones((5, 8)), "augment": (data.Noise(),)},
        "data.masked_sample": {"key": jax.random.key(0), "inputs": jnp.ones((5, 8)), "mask": data.RandomMask()},
        "data.spread_mask": {"mask": jnp.ones((5, 4), bool), "patch": (2,), "shape": (8,)},
        "data.vector_prefix": {"inputs": jnp.ones((5, 8)), "length": 3},
        "train.pack": {"array": jnp.arange(5)},
        "train.features_of": {"features": jnp.tanh, "inputs": jnp.ones((5, 2))},
        "train.apply_model": {"model": jnp.tanh, "inputs": jnp.ones((5, 2))},
        "train.predict": {"model": jnp.tanh, "inputs": jnp.ones((5, 2))},
        "train.predict_one": {"model": jnp.tanh, "example": jnp.ones((2,))},
        "train.train_step": {
            "state": state,
            "inputs": jnp.ones((5, 2)),
            "targets": jnp.zeros((5,), int),
            "task": train.Classification(),
            "optimiser": optimiser,
        },
    }
    examples["train.train_steps"] = {
        "state": state,
        "data": data.DataSet(jnp.ones((5, 2)), jnp.zeros((5,), int)),
        "indices": jnp.zeros((3, 2), int),
        "task": train.Classification(),
        "optimiser": optimiser,
    }
    table = Path(FOLDER.name) / "table.csv"
    table.write_text("a,b\n1,2\n3,4\n")
    numbered = data.DataSet(jnp.arange(20))
    examples |= {
        "data.fit_csv": {"path": table, "rows": jnp.arange(2)},
        "data.folds": {"data": numbered, "k": 2, "groups": jnp.arange(20)},
        "data.split_by_group": {"data": numbered, "groups": jnp.arange(20)},
        "data.split_rows": {"examples": 20, "classes": jnp.zeros(20, int)},
    }
    examples |= {
        f"functional.matrix_conv{kind}{k}d": {"params": kernels[k], "x": grids[k]}
        for kind in ("", "_transpose")
        for k in (1, 2, 3)
    }
    examples |= {
        f"functional.{kind}_pool{k}d": {"x": grids[k], **options}
        for kinds, options in [
            ("max avg sum maxd avgd", {"window": 2}),
            ("adaptive_avg adaptive_max", {"size": 2}),
            ("global_avg global_max global_sum", {}),
        ]
        for kind in kinds.split()
        for k in (1, 2, 3)
    }
    examples |= {f"functional.pool{k}d": {"x": grids[k], "reduce_fn": jnp.min, "window": 2} for k in (1, 2, 3)}
    examples |= {f"functional.{name}": {"x": x} for name in activations}
    examples |= {
        **{f"rand.{name}": {"seed": 0} for name in ("manual_seed", "uniform", "normal")},
        "rand.build": {"make": lambda stream: stream, "seed": 0},
        "rand.permutation": {"seed": 0, "x": x},
        "rand.choice": {"seed": 0, "x": x, "p": jnp.full(len(x), 1 / len(x))},
    }
    return examples


EXAMPLES = example_arguments()
# They look at numbers as they are called; of all others shapes are enough, for which nothing is compiled.
OF_NUMBERS = ("data.folds", "data.split_by_group", "data.split_rows", "train.pack")


def what_annotations_may_name(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    bound = inspect.signature(function).bind(**arguments)
    bound.apply_defaults()
    return {**inspect.unwrap(function).__globals__, **bound.arguments}


def wrong_rank(annotation: Any, value: Any, arguments: dict[str, Any]) -> Any:
    """`value` with fewer axes than `annotation` allows; a list where any number is allowed."""
    axes = [axis for axis in read_axes(annotation.dim_str, arguments, {}) if not axis.variadic]
    return jnp.ones((2,) * (len(axes) - 1), value.dtype) if axes else [1.0]


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
def test_every_function_of_arrays_refuses_a_wrong_rank(name):
    assert name in EXAMPLES, f"add valid arguments of {name} to EXAMPLES"
    function, arguments = ARRAY_FUNCTIONS[name], EXAMPLES[name]
    call = function if name in OF_NUMBERS else partial(eqx.filter_eval_shape, function)
    call(**arguments)
    known = what_annotations_may_name(function, arguments)
    checked = 0
    for argument, parameter in inspect.signature(function).parameters.items():
        annotations = array_annotations(parameter.annotation)
        if argument in arguments and is_array_hint(parameter.annotation):
            wrong = {**arguments, argument: wrong_rank(annotations[0], arguments[argument], known)}
            with pytest.raises(ContractError, match=rf"{inspect.unwrap(function).__name__} got {argument} "):
                function(**wrong)
            checked += 1
    assert checked
