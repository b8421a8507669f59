"""Run as a program under 8 virtual devices: the curves of models over several meshes, as JSON on standard output.

The number of devices is fixed when JAX begins, so that the tests, which have one, cannot do this themselves.
"""

import json
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from matrinox import nn
from matrinox.data import DataSet, RowLoader
from matrinox.paths import show
from matrinox.train import AdamW, Fitted, Hooks, Placement, Recipe, Stepper, evaluate, fit, freeze, placement

MESHES = {"one device": None, "data=8": {"data": 8}, "data=4 model=2": {"data": 4, "model": 2}, "model=8": {"model": 8}}
STEPS, BATCH, CLASSES = 20, 16, 4


class Images(eqx.Module):
    """A convolution, a batch norm, dropout, a dense layer."""

    conv: nn.Conv2d
    norm: nn.BatchNorm
    dropout: nn.Dropout
    dense: nn.Dense
    head: nn.FlattenLinear

    def __init__(self):
        keys = jax.random.split(jax.random.key(1), 3)
        self.conv = nn.Conv2d(p=2, q=8, n=2, kernel=3, use_bias=False, key=keys[0])
        self.norm = nn.BatchNorm(p=8, n=2, momentum=0.9)
        self.dropout = nn.Dropout(0.2)
        self.dense = nn.Dense(p=8, q=8, n=2, key=keys[1])
        self.head = nn.FlattenLinear(p=8, features=CLASSES, n=2, key=keys[2])

    def __call__(self, x, state, *, key=None):
        y, state = self.norm(self.conv(x), state)
        y = self.dropout(jnp.tanh(y), key=key).mean((-5, -4))
        return self.head(jnp.tanh(self.dense(y))), state


class Sequences(eqx.Module):
    """Attention, then an LSTM."""

    attention: nn.MultiheadAttention
    lstm: nn.Recurrent
    head: nn.FlattenLinear

    def __init__(self):
        keys = jax.random.split(jax.random.key(2), 3)
        self.attention = nn.MultiheadAttention(p=8, heads=2, n=2, key=keys[0])
        self.lstm = nn.Recurrent(nn.LSTMCell(p=8, q=8, n=2, key=keys[1]))
        self.head = nn.FlattenLinear(p=8, features=CLASSES, n=2, key=keys[2])

    def __call__(self, x, *, key=None):
        return self.head(self.lstm(self.attention(x))[..., -1, :, :, :])


MODELS = {
    "images": (Images, (4, 4, 2, 2, 2), {}, MESHES),
    "sequences": (Sequences, (5, 8, 2, 2), {"accumulate": 2, "average": 0.9}, MESHES),
    "bfloat16": (Images, (4, 4, 2, 2, 2), {"precision": "bfloat16"}, ("one device", "data=4 model=2")),
}


compiled: list[float] = []
"""How long each program took that was compiled."""


def note(event: str, seconds: float, **_) -> None:
    """Takes note of a compilation."""
    if event == "/jax/core/compile/backend_compile_duration":
        compiled.append(seconds)


def train(name: str, where: Placement, model, model_state) -> dict:
    """The losses of a model's steps, its running statistics, and how its arrays are held by the first device."""
    _, shape, options, _ = MODELS[name]
    random = np.random.RandomState(0)
    data = DataSet(random.normal(size=(64, *shape)).astype(np.float32), random.randint(CLASSES, size=64))
    recipe = Recipe(steps=STEPS, batch=BATCH, optimiser=AdamW(learning_rate=1e-2), **options)
    stepper = Stepper.of(recipe, STEPS, placement=where)
    state = where.put(stepper.start(model, model_state, key=jax.random.key(3)))
    rows = random.randint(64, size=(STEPS, recipe.accumulate * BATCH))
    held_data = where.replicate(data)
    half = STEPS // 2
    state, first = stepper.steps(state, held_data, rows[:half], half)
    before = len(compiled)
    state, second = stepper.steps(state, held_data, rows[half:], half)
    again = compiled[before:]
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(state, eqx.is_array))[0]
    held = {show(path): part_of(leaf) for path, leaf in leaves}
    held["examples"] = part_of(held_data.inputs)
    batch = np.ones((16, 3), np.float32)
    held["batch put"] = part_of(jnp.asarray(where.put_batch(batch)))
    held["batch constrained"] = part_of(jax.jit(where.constrain_batch)(batch))
    held["batch of stacked steps"] = part_of(jnp.asarray(where.put_batch(np.stack([batch] * 5), axis=1)))
    held["batch of a size that does not fit"] = part_of(jax.jit(where.constrain_batch)(batch[1:]))
    found = {
        "losses": [*np.asarray(first.loss, np.float64).tolist(), *np.asarray(second.loss, np.float64).tolist()],
        "compiled again": len(again),
        "statistics": [np.asarray(leaf, np.float64).tolist() for leaf in jax.tree.leaves(state.model_state)],
        "held": held,
    }
    if name == "images":
        # 60 at a time: the mesh divides neither that nor the 4 examples left.
        options: dict = {"state": state.model_state, "batch": 60, "predictions": True, "placement": where}
        seen = evaluate(state.model, data, recipe.task, **options)
        found["evaluation"] = (seen.figures, seen.predictions.tolist())
    return found


def part_of(array: jax.Array) -> tuple[int, ...]:
    """The shape of what the first device holds of an array."""
    return array.addressable_shards[0].data.shape


def read(sizes: dict | None) -> dict:
    """What `fit` makes of a loader's minibatches with a part of the model frozen, and what it says of a NaN."""
    random = np.random.RandomState(0)
    inputs, targets = random.normal(size=(64, 2, 2, 2)).astype(np.float32), random.randint(CLASSES, size=64)
    keys = jax.random.split(jax.random.key(4), 3)
    model = nn.Sequential(
        [nn.Dense(p=2, q=8, n=2, key=keys[0]), nn.FlattenLinear(p=8, features=CLASSES, n=2, key=keys[1])]
    )
    recipe = Recipe(steps=6, steps_per_round=3, accumulate=2, optimiser=AdamW(learning_rate=1e-2))
    losses: list[float] = []

    def run(data: DataSet, hooks: Hooks) -> Fitted:
        loader = RowLoader(data, BATCH, key=keys[2])
        options: dict = {"frozen": freeze(model, "layers[0].weight"), "hooks": hooks, "mesh": sizes}
        return fit(model, loader, None, recipe, key=jax.random.key(5), **options)

    fitted = run(DataSet(inputs, targets), Hooks(on_step=lambda step: losses.append(step.loss)))
    spoilt = inputs.copy()
    spoilt[:] = np.nan
    try:
        run(DataSet(spoilt, targets), Hooks())
        said = "nothing"
    except FloatingPointError as error:
        said = str(error)
    places = {type(leaf.sharding).__name__ for leaf in jax.tree.leaves(eqx.filter(fitted.state, eqx.is_array))}
    kept = bool(np.array_equal(fitted.model.layers[0].weight, model.layers[0].weight))
    return {"losses": losses, "said": said, "places": sorted(places), "frozen is kept": kept}


def refusal() -> str:
    """What is said of a batch that a mesh does not divide."""
    try:
        placement({"data": 4}, {}).check_batch(30)
    except ValueError as error:
        return str(error)
    return "nothing"


def main() -> None:
    """Writes all curves."""
    assert jax.device_count() == 8
    jax.monitoring.register_event_duration_secs_listener(note)
    found: dict = {}
    for name, (build, *_, meshes) in MODELS.items():
        model, state = eqx.nn.make_with_state(build)()
        state = state if build is Images else None
        found[name] = {mesh: train(name, placement(MESHES[mesh], model), model, state) for mesh in meshes}
    found["read"] = {mesh: read(MESHES[mesh]) for mesh in ("one device", "data=4 model=2")}
    found["refused"] = refusal()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
