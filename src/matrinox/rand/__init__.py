"""Randomness without a hidden state: key streams, models built from a seed, and draws that a seed alone decides."""

from matrinox.rand.draw import choice, normal, permutation, uniform
from matrinox.rand.seed import build, fresh_seed, manual_seed, with_model
from matrinox.rand.stream import KeyStream

__all__ = [
    "KeyStream",
    "build",
    "choice",
    "fresh_seed",
    "manual_seed",
    "normal",
    "permutation",
    "uniform",
    "with_model",
]
