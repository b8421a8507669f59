"""What tests of layers that hold others build: drawn dense layers and inputs, a model around them, its refusals."""

import equinox as eqx
import jax
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError

KEYS = jax.random.split(jax.random.key(0), 4)


def dense(p, q, n=4, key=0):
    return nn.Dense(p=p, q=q, n=n, initializer=drawn, key=KEYS[key])


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def refusal(build, *args):
    with pytest.raises(ContractError) as caught:
        build(*args)
    return str(caught.value)


class Model(eqx.Module):
    encoder: nn.Sequential

    def __call__(self, x):
        return self.encoder(x)
