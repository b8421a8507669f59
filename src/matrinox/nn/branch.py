"""Layers on one input, summed: `Residual` and `BranchSum`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray, PyTree, Shaped

from matrinox.contract import ContractError, contract
from matrinox.contract.checked import refusal_of
from matrinox.nn.child import Layer, call_children, require_callable, split_key
from matrinox.nn.joint import (
    Axes,
    Composite,
    Flow,
    Several,
    Told,
    counted,
    demands,
    layer_name,
    pass_through,
    refined,
    unequal,
)
from matrinox.nn.linear import check_sizes
from matrinox.nn.stepping import initial_caches, require_parts, step_child


@contract
class _Sum(Composite):
    def _call(self, x: PyTree, state: eqx.nn.State | None, key: PRNGKeyArray | None) -> Any:
        children = self.children()
        outputs, after = call_children(children, (x,) * len(children), state, key)
        total = self._added(x, outputs)
        return total if state is None else (total, after)

    def initial_cache(
        self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
    ) -> tuple[PyTree, ...]:
        """What the summands keep of a sequence that is taken by `step`, before its first token.

        **Arguments:** as for `Sequential`.
        **Returns:** one for each summand that is a layer.
        **Raises:** as for `Sequential`.
        """
        check_sizes(length=length)
        return initial_caches(self.children(), length, batch_shape, dtype)

    def step(
        self, cache: tuple[PyTree, ...], x: PyTree, *, key: PRNGKeyArray | None = None
    ) -> tuple[tuple[PyTree, ...], Array]:
        """The next tokens of a sequence, one or more: portion by portion, this gives what a call gives for the whole.

        **Arguments:** `cache`: as `initial_cache` gives it, or the step before; `x`: what every summand takes,
        `(*batch, t, p, n, n)`; `key`: split over the layers.
        **Returns:** `(cache, y)`, y being the sum.
        **Raises:** as for a call; `ContractError` for another cache; `TypeError` as for `initial_cache`.
        """
        return self._step(cache, x, key)

    def _step(self, cache: PyTree, x: PyTree, key: PRNGKeyArray | None) -> tuple[tuple[PyTree, ...], Array]:
        children = self.children()
        parts, keys = require_parts(cache, len(children)), split_key(key, len(children))
        taken = [
            step_child(path, layer, part, x, layer_key)
            for (path, layer), part, layer_key in zip(children.items(), parts, keys, strict=True)
        ]
        return tuple(after for after, _ in taken), self._added(x, [y for _, y in taken])

    def _adds_input(self) -> bool:
        return False

    def _added(self, x: PyTree, outputs: Sequence[Any]) -> Shaped[Array, "..."]:
        summands = dict(zip(self.children(), outputs, strict=True))
        summands = {"x": x, **summands} if self._adds_input() else summands
        (first, total), *others = summands.items()
        for name, summand in summands.items():
            if not isinstance(summand, jax.Array | np.ndarray):
                self._refuse(f"arrays, but {self._says(name)} a {type(summand).__name__}.")
        total = jnp.asarray(total)
        for name, summand in others:
            fact = _difference(summand.shape, total.shape)
            if fact:
                came, due = (f"{y.dtype}[{', '.join(map(str, y.shape))}]" for y in (summand, total))
                said = f"{self._says(first)} {due} and {self._says(name)} {came}"
                self._refuse(f"equal shapes, but {said}: {fact}.{self._remedy()}")
        dtype = jnp.result_type(*summands.values())
        wide = jnp.promote_types(dtype, jnp.float32) if jnp.issubdtype(dtype, jnp.floating) else dtype
        return sum((summand.astype(wide) for _, summand in others), start=total.astype(wide)).astype(dtype)

    def _says(self, name: str) -> str:
        return "x is" if name == "x" else f"{layer_name(name, self.children()[name])} gives"

    def _refuse(self, text: str) -> None:
        raise refusal_of(f"{layer_name('', self)} adds {text}", sys._getframe(3), self)

    def _remedy(self) -> str:
        return " Give a `shortcut` that brings x to the shape of the body." if self._adds_input() else ""

    def passes(self, path: str, came: Flow) -> Flow:
        """What it gives of what came; raises `ContractError` where the summands are known to differ."""
        for name, child in self.children().items():
            due = demands(child)
            if due is not None and came is None:
                came = Told(layer_name(f"{path}.{name}".removeprefix("."), child), due, "takes")
            elif due is not None and isinstance(came, Told):
                came = replace(came, axes=refined(came.axes, due))
        parts = [
            pass_through(f"{path}.{name}".removeprefix("."), child, came) for name, child in self.children().items()
        ]
        if self._adds_input():
            parts.insert(0, Told("x", came.axes, "is") if isinstance(came, Told) else came)
        told: list[Told] = []
        for part in parts:
            if isinstance(part, Several):
                raise ContractError(f"{layer_name(path, self)} adds arrays, but {part}.")
            if part is not None:
                for before in told:
                    self._require_equal(path, before, part)
                told.append(part)
        axes = _merged([part.axes for part in told])
        return None if axes is None else Told(layer_name(path, self), axes)

    def _require_equal(self, path: str, before: Told, part: Told) -> None:
        fact = unequal(before.axes, part.axes)
        if fact:
            name = layer_name(path, self)
            raise ContractError(f"{name} adds equal shapes, but {before} and {part}: {fact}.{self._remedy()}")

    def demands(self) -> Axes | None:
        """What the layers take, as far as their annotations tell."""
        known = [demands(child) for child in self.children().values()]
        return _merged([axes for axes in known if axes is not None])


@contract
class Residual(_Sum):
    """`y = x + body(x)`, or `shortcut(x) + body(x)`.

    Both summands must have one shape: nothing is broadcast. Where the annotations tell that they do not, it is refused
    when it is built.

    **Arguments:** `body`: a layer or function, called as in `Sequential`; `shortcut`: another, that brings x to the
    shape of what the body gives, such as a `Dense` to other neurons or a convolution with the stride of the body's.
    **Raises:** `ContractError`, when built, if the summands are known to differ, naming both and the first axis;
    `TypeError` for what is not callable.
    **Source:** He et al. 2016, arXiv 1512.03385; TorchLean, `residual`.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn.linear import Dense
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> Residual(Dense(p=2, q=2, n=4, key=k0))(jnp.ones((32, 2, 4, 4))).shape
    (32, 2, 4, 4)
    >>> wider = Residual(Dense(p=2, q=3, n=4, key=k0), shortcut=Dense(p=2, q=3, n=4, key=k1))
    >>> wider(jnp.ones((32, 2, 4, 4))).shape
    (32, 3, 4, 4)
    """

    body: Layer
    shortcut: Layer | None

    def __init__(self, body: Layer, shortcut: Layer | None = None):
        self.body = body
        self.shortcut = shortcut
        require_callable(self.children())
        self.passes("", None)

    def __call__(self, x: PyTree, state: eqx.nn.State | None = None, *, key: PRNGKeyArray | None = None) -> Any:
        """Applies body and shortcut to x and adds; `state` is passed to, and updated by, the stateful ones in turn.

        **Arguments:** `x`: what the body takes, `(*batch, p, n, n)` or any other shape; `state`: needed if body or
        shortcut is stateful; `key`: split over body and shortcut.
        **Returns:** the sum, `(sum, state)` if `state` was given.
        **Raises:** `ContractError` if the summands differ in shape or are no arrays; `ValueError` if a layer is
        stateful and `state` is missing.
        """
        return self._call(x, state, key)

    def children(self) -> Mapping[str, Layer]:
        """Body, and shortcut if there is one, by their path from here."""
        return {"body": self.body} if self.shortcut is None else {"body": self.body, "shortcut": self.shortcut}

    def _adds_input(self) -> bool:
        return self.shortcut is None


@contract
class BranchSum(_Sum):
    """`y = Σ_b branches[b](x)`: every branch gets the same x.

    The summands must have one shape: nothing is broadcast. Where the annotations tell that they do not, it is refused
    when it is built.

    **Arguments:** `branches`: one or more layers and functions, called as in `Sequential`.
    **Raises:** `ContractError`, when built, if two summands are known to differ, naming both and the first axis;
    `ValueError` for no branches; `TypeError` for what is not callable.
    **Source:** TorchLean, `addBranches`.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn.linear import Dense
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> layer = BranchSum([Dense(p=2, q=3, n=4, key=k0), Dense(p=2, q=3, n=4, key=k1)])
    >>> layer(jnp.ones((32, 2, 4, 4))).shape
    (32, 3, 4, 4)
    """

    branches: tuple[Layer, ...]

    def __init__(self, branches: Sequence[Layer]):
        if not branches:
            raise ValueError("`branches` (=()) must hold at least one branch: give the layers whose outputs to add.")
        self.branches = tuple(branches)
        require_callable(self.children())
        self.passes("", None)

    def __call__(self, x: PyTree, state: eqx.nn.State | None = None, *, key: PRNGKeyArray | None = None) -> Any:
        """Applies every branch to x and adds; `state` is passed to, and updated by, the stateful ones in turn.

        **Arguments:** `x`: what the branches take; `state`: needed if a branch is stateful; `key`: split over the
        branches.
        **Returns:** the sum, `(sum, state)` if `state` was given.
        **Raises:** `ContractError` if the summands differ in shape or are no arrays; `ValueError` if a branch is
        stateful and `state` is missing.
        """
        return self._call(x, state, key)

    def children(self) -> Mapping[str, Layer]:
        """The branches, by their path from here."""
        return {f"branches[{index}]": branch for index, branch in enumerate(self.branches)}


def _difference(shape: tuple[int, ...], due: tuple[int, ...]) -> str | None:
    if len(shape) != len(due):
        return f"it has {counted(len(shape), 'axis', 'axes')}, not {len(due)}"
    for place, (size, other) in enumerate(zip(shape, due, strict=True)):
        if size != other:
            return f"axis {place - len(due)} is {size}, not {other}"
    return None


def _merged(axes: Sequence[Axes]) -> Axes | None:
    if not axes:
        return None
    merged = axes[0]
    for other in axes[1:]:
        merged = refined(merged, other)
    return merged
