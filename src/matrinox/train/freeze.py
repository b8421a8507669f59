"""Freezing parts of a model by path pattern: what is trained, what is kept, and an optimiser that knows which."""

import re
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.tree_util as jtu
import optax
from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.nn.tied import Tied, TiedLeaf
from matrinox.paths import select, show
from matrinox.train.optim.part import on_part

_MOST_LINES = 12


@dataclass(frozen=True, eq=False, repr=False)
class Frozen:
    """A model in two halves, by path pattern; `print` gives the report. What `freeze` gives.

    **Arguments:** `trainable`: the model with `None` in place of all that is not trained; `frozen`: with `None` in
    place of what is; `labels`: `"train"` or `"freeze"` for each leaf, for `optax.partition` (`optax.multi_transform`);
    `patterns`: as given.

    `optax.partition` takes a tree that can be called for a function of the parameters: with a model that has a
    `__call__`, hand it `[labels]`, and `[parameters]` where it takes these.
    """

    trainable: PyTree
    frozen: PyTree
    labels: PyTree
    patterns: tuple[str, ...]

    def combine(self, trainable: PyTree | None = None) -> Any:
        """The whole model, from its frozen half and a trained one.

        **Arguments:** `trainable`: a tree like the field of that name, which is the default.
        **Returns:** a model like the one that was frozen.
        """
        return eqx.combine(self.trainable if trainable is None else trainable, self.frozen)

    @contract
    def optimiser(self, inner: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
        """An optimiser that sees the trained leaves alone: norms, weight decay and state are of these.

        The update of a frozen leaf is `None`, which `eqx.apply_updates` leaves as it is, bit for bit. Wrap last: what
        is chained behind it would see the `None`.

        **Arguments:** `inner`: any optax transformation, such as `optax.adamw(1e-3)`.
        **Returns:** one for the whole model, or for `trainable`. Another tree it refuses, with a `ValueError`.
        """
        trained = jax.tree.map(lambda label: label == "train", self.labels)

        def chosen(params: PyTree) -> PyTree:
            try:
                eqx.filter(params, trained)
            except ValueError as error:
                raise ValueError(f"`params` must be the model that was frozen: freeze this one. {error}") from error
            return trained

        return on_part(inner, chosen)

    def __str__(self) -> str:
        kept = eqx.filter(self.frozen, eqx.is_inexact_array)
        titles = "frozen by " + ", ".join(repr(pattern) for pattern in self.patterns), "trained"
        return "\n".join(_section(title, tree) for title, tree in zip(titles, (kept, self.trainable), strict=True))

    __repr__ = __str__


@contract
def freeze(model: PyTree, *patterns: str) -> Frozen:
    """Keeps the leaves that any of the patterns matches, and trains the other arrays of floats.

    **Arguments:** `model`: any pytree; `patterns`: as `matrinox.find` takes them, such as `"encoder.**"`. They may
    overlap. What is no array of floats, such as a function or an integer, is never trained. Running statistics are no
    leaves but state, and go on running: switch what is frozen to inference too, with `eqx.nn.inference_mode`.
    **Returns:** `Frozen`: both halves, labels for optax, a wrapper of optimisers, and a report to print.
    **Raises:** `ValueError` if a pattern is malformed or matches nothing, naming the nearest path; for a weight that is
    tied to one that would be trained; without a pattern; or if nothing is left to train.

    >>> import jax.numpy as jnp
    >>> print(freeze({"encoder": jnp.ones((2, 3)), "head": jnp.ones(3)}, "['encoder']"))
    frozen by "['encoder']": 6 parameters in 1 leaf
      ['encoder']  6 in 1 leaf
    trained: 3 parameters in 1 leaf
      ['head']  3 in 1 leaf
    """
    if not patterns:
        raise ValueError("`patterns` (=()) must name what to freeze: give at least one, such as 'encoder.**'.")
    masks = [select(model, pattern) for pattern in patterns]
    matched = jax.tree.map(lambda *hits: any(hits), *masks)
    trained = jax.tree.map(lambda hit, leaf: not hit and eqx.is_inexact_array(leaf), matched, model)
    if not any(jax.tree.leaves(trained)):
        raise ValueError(
            f"`patterns` (={patterns}) must leave an array of floats to train: freeze less, or use the model as it is."
        )
    _refuse_halves(model, matched)
    trainable, frozen = eqx.partition(model, trained)
    labels = jax.tree.map(lambda train: "train" if train else "freeze", trained)
    return Frozen(trainable, frozen, labels, patterns)


def _refuse_halves(model: PyTree, matched: PyTree[bool]) -> None:
    """Refuses to freeze one use of a tied weight while it is trained through another."""
    hit = {show(path): hit for path, hit in jtu.tree_flatten_with_path(matched)[0]}
    ties, _ = jtu.tree_flatten_with_path(model, is_leaf=lambda node: isinstance(node, Tied))
    for place, tied in ties:
        for path, leaf in jtu.tree_flatten_with_path(tied)[0] if isinstance(tied, Tied) else ():
            source = f"{show(place)}.model.{leaf.source}".removeprefix(".") if isinstance(leaf, TiedLeaf) else None
            if source is not None and hit[show(place + path)] and not hit[source]:
                raise ValueError(
                    f"`patterns` matches {show(place + path)!r}, which is tied to {source!r} and would be trained "
                    "there: name that one too, or leave out the tied one."
                )


_Leaf = tuple[tuple[Any, ...], int]
"""A path, and how many parameters are there."""


def _section(title: str, tree: PyTree) -> str:
    leaves = [(path, leaf.size) for path, leaf in jtu.tree_flatten_with_path(tree)[0] if eqx.is_inexact_array(leaf)]
    rows = [(name, f"{_parameters(group):,}", _count(group)) for name, group in _grouped(leaves).items()]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"  {name:{widths[0]}}  {parameters:>{widths[1]}} in {count}" for name, parameters, count in rows]
    return "\n".join([f"{title}: {_parameters(leaves):,} parameters in {_count(leaves)}", *lines])


def _grouped(leaves: list[_Leaf]) -> dict[str, list[_Leaf]]:
    """Leaves by path; where there are many, by pattern, the longest that make few enough lines."""
    groups: dict[str, list[_Leaf]] = {}
    deepest = max((len(path) for path, _ in leaves), default=0)
    for depth in (None, *range(deepest, 0, -1)):
        groups = {}
        for leaf in leaves:
            groups.setdefault(show(leaf[0]) if depth is None else _pattern(leaf[0], depth), []).append(leaf)
        if len(groups) <= _MOST_LINES:
            break
    return {show(group[0][0]) if len(group) == 1 else pattern: group for pattern, group in groups.items()}


def _pattern(path: tuple[Any, ...], depth: int) -> str:
    return re.sub(r"\[\d+\]", "[*]", show(path[:depth])) + (".**" if len(path) > depth else "")


def _parameters(leaves: list[_Leaf]) -> int:
    return sum(size for _, size in leaves)


def _count(leaves: list[_Leaf]) -> str:
    return "1 leaf" if len(leaves) == 1 else f"{len(leaves)} leaves"
