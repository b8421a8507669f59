"""Optimisers as plain data: frozen configs that build optax transformations."""

from matrinox.train.optim.adamw import AdamW as AdamW
from matrinox.train.optim.base import Optimiser as Optimiser
