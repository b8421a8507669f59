"""`Constrained`: a model in which weights keep laws, whatever an optimiser does."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jax import Array

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.functional.precision import widen
from matrinox.nn.child import Layer, require_callable
from matrinox.nn.constraint import Constraint
from matrinox.nn.derived import Derived, laws_within
from matrinox.nn.tied import TiedLeaf
from matrinox.paths import find, show

Law = Callable[[Any], Array]
"""From a free array to one that keeps the law: one of the constraints of `nn`, or a function."""


@contract
class Constrained(Derived):
    """A model in which weights keep laws, by path: `{pattern: constraint}` says which and what.

    What is stored, `constrained.model`, has the same paths and shapes as the model, and each constrained leaf in it is
    a free array, for any optimiser, file or surgery. Whenever the model is called, each goes through the map of its
    constraint first: the weight obeys after every step, as exactly as its dtype can tell, because there is nothing else
    that it could be. The gradient is that by the free array. To project the weight after each step instead would hide
    from the gradient, and from the memory of an optimiser such as Adam, what is then taken away.

    The model starts with its own weights where they obey, and with near ones elsewhere. It is called as the model is;
    `constrained.whole()` is the model with every weight as it is used: to read, or to save for use elsewhere. Paths
    begin at `model`, as in `freeze(constrained, "model.layers[0].**")`.

    A call computes each map once, however many steps a recurrent layer takes. Symmetric and triangular weights cost
    next to nothing, the spectral norm of a map some products of its shorter side, and an orthogonal weight a singular
    value decomposition, which may take several times as long as the layer. To call a trained model often, call
    `whole()` once and what it gives instead.

    **Arguments:** `model`: a callable module; `constraints`: patterns and a constraint for each: `nn.Symmetric`,
    `nn.Antisymmetric`, `nn.Triangular`, `nn.Orthogonal`, `nn.SpectralNorm`, or any function of an array, such as
    `jax.nn.softplus`, which keeps its shape. It gets half precision as float32. If it has a method `right_inverse`,
    that tells what to store for a weight; else the weight is stored as it is. It is part of the model's structure: take
    one that is equal to itself when made again, a function by name or a frozen dataclass.
    **Raises:** `ValueError` for a path that is not there, with the nearest one, for a leaf under two patterns, for a
    weight that is tied to another, constrain that one, and for a weight on which a `LoRA` or `Constrained` within
    already is; `ContractError` for a leaf that is no array of floats, and for
    one of a shape that cannot obey; `TypeError` for what is no constraint.
    **Source:** Lezcano-Casado 2019, arXiv 1909.09501; `torch.nn.utils.parametrize`.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox import nn
    >>> keys = jax.random.split(jax.random.key(0))
    >>> model = nn.Sequential([nn.Dense(p=2, q=2, n=4, key=key) for key in keys])
    >>> constraints = {"layers[*].weight": nn.Orthogonal(), "layers[1].bias": nn.Symmetric()}
    >>> constrained = nn.Constrained(model, constraints)
    >>> constrained(jnp.ones((32, 2, 4, 4))).shape
    (32, 2, 4, 4)
    >>> moved = jax.tree.map(lambda leaf: leaf + 0.1, constrained)
    >>> weight = moved.whole().layers[0].weight
    >>> flat = jnp.swapaxes(weight, 1, 2).reshape(8, 8)
    >>> bool(jnp.allclose(flat @ flat.T, jnp.eye(8), atol=1e-5))
    True
    """

    constraints: tuple[tuple[str, Law], ...] = eqx.field(static=True)

    def __init__(self, model: Layer, constraints: Mapping[str, Any]):
        require_callable({"model": model})
        laws = _laws(model, constraints)
        self.model = jtu.tree_map_with_path(
            lambda path, leaf: _stored(laws[show(path)], leaf) if show(path) in laws else leaf, model
        )
        self.constraints = tuple(laws.items())

    def children(self) -> Mapping[str, Layer]:
        """The model, by its path from here: as it is stored, of which no map has to be computed."""
        return {"model": self.model}

    def laws(self) -> Mapping[str, Law]:
        """The constraint of each weight that has one, by its path in `model`."""
        return dict(self.constraints)

    def whole(self) -> Any:
        """The model with every weight as its constraint makes it: of the kind that was given, for its methods.

        **Returns:** the model; what is changed in it is not changed here.
        **Raises:** `ValueError` if a constrained leaf is no longer there.
        """
        laws = dict(self.laws())
        model = jtu.tree_map_with_path(
            lambda path, leaf: _obeying(laws.pop(show(path)), leaf) if show(path) in laws else leaf, self.model
        )
        if laws:
            raise ValueError(
                f"`constraints` names {', '.join(map(repr, laws))}, no longer in the model: constrain the new one anew."
            )
        return model


def _laws(model: Any, constraints: Mapping[str, Any]) -> dict[str, Law]:
    """The constraint for the path of each leaf that has one."""
    if not constraints:
        raise ValueError("`constraints` (={}) must hold at least one: give {pattern: constraint}.")
    found: dict[str, tuple[str, Law]] = {}
    inner = laws_within(model)
    for pattern, law in constraints.items():
        if not _is_law(law):
            raise TypeError(
                f"`constraints` has {_name(law)} for {pattern!r}: give a constraint, as nn.Symmetric(), or a function."
            )
        for path, leaf in find(model, pattern).items():
            if path in found:
                raise ValueError(
                    f"`constraints` names {path!r} twice, by {found[path][0]!r} and by {pattern!r}: choose one, or give"
                    " a function that applies both."
                )
            if path in inner:
                raise ValueError(
                    f"`constraints` names {path!r}, on which is {inner[path]}, so that the weight would not obey:"
                    " constrain the model within, as lora(Constrained(model, …), …), or by one function of both laws."
                )
            _require_fit(path, leaf, law)
            found[path] = pattern, law
    return {path: law for path, (_, law) in found.items()}


def _is_law(law: Any) -> bool:
    return callable(law) and not isinstance(law, type)


def _require_fit(path: str, leaf: Any, law: Law) -> None:
    if isinstance(leaf, TiedLeaf):
        raise ValueError(f"`constraints` names {path!r}, which is tied to {leaf.source!r}: constrain that one.")
    if not (eqx.is_inexact_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)):
        kind = f"array of {leaf.dtype}" if eqx.is_array(leaf) else type(leaf).__name__
        raise ContractError(f"`constraints` names {path!r}, of type {kind}: only arrays of floats can be constrained.")
    shape = f"{path!r} {leaf.dtype}[{', '.join(map(str, leaf.shape))}]"
    why = law.misfit(leaf.shape) if isinstance(law, Constraint) else None
    if why is not None:
        raise ContractError(f"`constraints` puts {law} on {shape}: {why}")
    given = jax.eval_shape(law, widen(leaf))
    if getattr(given, "shape", None) != leaf.shape:
        raise ContractError(
            f"`constraints` puts {_name(law)} on {shape}, which makes {given} of it: it must keep the shape."
        )


def _stored(law: Law, leaf: AnyArray) -> Array:
    inverse = getattr(law, "right_inverse", jnp.asarray)
    return inverse(widen(leaf)).astype(leaf.dtype)


def _obeying(law: Law, leaf: AnyArray) -> Array:
    return law(widen(leaf)).astype(leaf.dtype)


def _name(law: Any) -> str:
    return getattr(law, "__name__", repr(law))
