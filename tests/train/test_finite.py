"""What is not finite first."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from matrinox import nn
from matrinox.functional import mse
from matrinox.train import Stepper, Task
from matrinox.train.finite import first_not_finite


class Squared(Task):
    """Nothing but a loss."""

    def loss(self, outputs, targets):
        return mse(outputs, targets)

    def tally(self, outputs, targets):
        return {}

    def report(self, tally):
        return {}


STEPPER = Stepper(Squared(), optax.sgd(0.1))
X, Y = np.ones((4, 3, 2, 2), np.float32), np.ones((4, 1, 2, 2), np.float32)


def network(middle=None) -> nn.Sequential:
    k0, k1 = jax.random.split(jax.random.key(0))
    middle = nn.ReLU() if middle is None else nn.Lambda(middle)
    return nn.Sequential([nn.Dense(p=3, q=2, n=2, key=k0), middle, nn.Dense(p=2, q=1, n=2, key=k1)])


def where(model, x=X, y=Y, stepper=STEPPER) -> str:
    return first_not_finite(stepper, stepper.start(model, key=jax.random.key(1)), x, y)


def with_nan(array, *index):
    array = np.array(array)
    array[index] = np.nan
    return array


def test_what_is_not_finite_is_named_in_the_order_of_the_computation():
    spoilt = eqx.tree_at(lambda model: model.layers[2].weight, network(), replace_fn=lambda weight: weight / 0)
    assert where(spoilt, with_nan(X, 1, 0)) == "`model.layers[2].weight`"
    assert where(network(), with_nan(X, 2, 0), with_nan(Y, 1)) == "`inputs[2]`"
    assert where(network(), X, with_nan(Y, 3)) == "`targets[3]`"
    assert where(network(lambda x: jnp.log(x - 1e9))) == "the output of `model.layers[1]`"
    assert where(network(lambda x: 1e38 * x), X, -1e38 * Y) == "the loss itself, of finite outputs (4, 1, 2, 2)"


def test_a_gradient_that_is_not_finite_is_named_by_its_leaf():
    """The root of 0 has a finite value and an infinite slope."""
    assert where(network(lambda x: jnp.sqrt(0 * x))) == "the gradient of `model.layers[0].weight`"


def test_a_norm_that_is_not_finite_of_a_finite_gradient_is_named():
    """Numbers of 1e25 are finite in float32, and their squares are not."""
    assert where(network(lambda x: 1e13 * x)) == "the gradient's norm, of finite numbers too large to be squared"


def test_accumulated_minibatches_are_looked_at_one_by_one():
    """The second of two is spoilt by an augmentation whose every key is another, and by a layer that sees one sum."""
    seen = []

    def spoil_second(key, inputs):
        seen.append(key)
        return inputs / (0 if len(seen) == 2 else 1)

    stepper = dataclasses.replace(STEPPER, accumulate=2, augment=(spoil_second,))
    assert where(network(), stepper=stepper) == "`inputs[2]`, behind augmentation"
    x = np.concatenate([X[:2], -X[2:]])
    root = nn.Lambda(lambda x: jnp.sqrt(x.sum()) + 0 * x)
    model = nn.Sequential([root, network()])
    assert where(model, x, stepper=dataclasses.replace(STEPPER, accumulate=2)) == "the output of `model.layers[0]`"


def test_augmentation_and_state_are_looked_at_too():
    stepper = Stepper(Squared(), optax.sgd(0.1), augment=(lambda key, inputs: inputs / 0,))
    assert where(network(), stepper=stepper) == "`inputs[0]`, behind augmentation"
    state = STEPPER.start(network(), key=jax.random.key(1))
    momentum = optax.sgd(0.1, momentum=0.9)
    state = eqx.tree_at(
        lambda state: state.optimiser_state,
        state,
        momentum.init(jax.tree.map(lambda leaf: leaf / 0, eqx.filter(state.model, eqx.is_inexact_array))),
        is_leaf=lambda leaf: leaf is None,
    )
    trace = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.inf), state.optimiser_state)
    state = eqx.tree_at(lambda state: state.optimiser_state, state, trace)
    assert first_not_finite(STEPPER, state, X, Y).startswith("`optimiser_state[0].trace.layers[0].weight")


def test_running_statistics_reach_the_layers_that_are_looked_at():
    model, statistics = eqx.nn.make_with_state(
        lambda: nn.Sequential(
            [nn.BatchNorm(p=3, n=2), nn.Lambda(jnp.log), nn.Dense(p=3, q=1, n=2, key=jax.random.key(0))]
        )
    )()
    state = STEPPER.start(model, statistics, key=jax.random.key(1))
    assert first_not_finite(STEPPER, state, X, Y) == "the output of `model.layers[1]`"
