"""Leaves of a module picked by a selection: by a `where` function, a path pattern, a filter, or several of these."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from matrinox.paths import find, show
from matrinox.transforms.leaf import describe, is_float_array, is_model, is_quantity, listed, magnitude


def pick(module: eqx.Module, selection: Any, *, check: bool = True) -> tuple[PyTree, Callable[[PyTree], Any]]:
    """The selected leaves in the structure of the selection, and the module with others in their places.

    | `selection` | structure |
    |---|---|
    | a function of the module to a leaf or a tree of leaves, as in `eqx.tree_at` | what it returns |
    | a path pattern, as in `matrinox.find` | `{path: leaf}` |
    | a function of a leaf to a bool, or a mask such as `matrinox.select` gives | the module, with `None` elsewhere |
    | a list, tuple or dict of selections | the same, of these |

    **Arguments:** `module`: any module; `check`: whether to refuse a selection of nothing or of leaves that are no
    arrays of floats; if not, those are passed over (`None`).
    **Returns:** `(var, put)`, where `put(var)` is the module with the leaves of `var`.
    **Raises:** `ValueError`, with the paths there are, for a selection that does not fit the module, or that has a
    leaf twice; `TypeError` for what is no selection.
    """
    named, structure = jtu.tree_flatten_with_path(module, is_leaf=is_quantity)
    paths, leaves = [show(path) for path, _ in named], [leaf for _, leaf in named]
    marks = [_Mark(i, leaf) for i, leaf in enumerate(leaves)]
    marked = jtu.tree_unflatten(structure, marks)
    kind = type(module).__name__
    picked = _picked(selection, _Marked(kind, marked, marks, paths, check))
    chosen = [mark.index for mark in jax.tree.leaves(picked, is_leaf=_is_mark)]
    twice = [paths[i] for i, times in Counter(chosen).items() if times > 1]
    if twice:
        raise ValueError(f"`grad_states` selects {listed(twice)} of {kind} twice: select each leaf once.")
    if check and not chosen:
        raise ValueError(f"`grad_states` selects no leaf of {kind}, which has {listed(paths) or 'none'}: select some.")
    other = [f"{paths[i]} ({describe(leaves[i])})" for i in chosen if not is_float_array(leaves[i])]
    if check and other:
        raise ValueError(
            f"`grad_states` selects {listed(other)} of {kind}, which is no array of floats: narrow the selection, or "
            "pass such leaves over with `check_states=False`."
        )
    picked = jax.tree.map(lambda mark: mark if is_float_array(mark.leaf) else None, picked, is_leaf=_is_mark)
    chosen = [mark.index for mark in jax.tree.leaves(picked, is_leaf=_is_mark)]
    var = jax.tree.map(lambda mark: mark.leaf, picked, is_leaf=_is_mark)

    def put(var: PyTree) -> Any:
        new = dict(zip(chosen, jax.tree.leaves(var, is_leaf=is_quantity), strict=True))
        return jtu.tree_unflatten(structure, [new.get(i, leaf) for i, leaf in enumerate(leaves)])

    return var, put


class _Mark:
    """Stands for a leaf while a selection looks at the module; it has the leaf's own `shape`, `dtype` and the like."""

    def __init__(self, index: int, leaf: Any):
        self.index, self.leaf = index, leaf

    def __getattr__(self, name: str) -> Any:
        return getattr(self.leaf, name)


def _is_mark(value: Any) -> bool:
    return isinstance(value, _Mark)


class _Marked:
    """A module of marks, and what is told about it."""

    def __init__(self, kind: str, tree: Any, marks: list[_Mark], paths: list[str], check: bool):
        self.kind, self.tree, self.marks, self.paths, self.check = kind, tree, marks, paths, check


def _picked(selection: Any, module: _Marked) -> PyTree:
    if isinstance(selection, str):
        return _by_pattern(selection, module)
    if is_model(selection):
        return _by_mask(selection, module)
    if isinstance(selection, Mapping):
        return {key: _picked(part, module) for key, part in selection.items()}
    if isinstance(selection, Sequence):
        parts = [_picked(part, module) for part in selection]
        return tuple(parts) if isinstance(selection, tuple) else parts
    if callable(selection):
        return _by_function(selection, module)
    raise TypeError(
        f"`grad_states` (={selection!r}) must be a function of the module, a path pattern, a filter, or a list, tuple "
        "or dict of these: for every array of floats, give `eqx.is_inexact_array`; arguments are told by `argnums`."
    )


def _by_pattern(pattern: str, module: _Marked) -> dict[str, _Mark]:
    try:
        return find(module.tree, pattern, is_leaf=_is_mark)
    except ValueError as error:
        # A pattern that is malformed, or names a subtree, is a slip whatever is checked.
        if not module.check and "matches no leaf" in str(error):
            return {}
        raise ValueError(f"`grad_states` of {module.kind}, which has {listed(module.paths)}: {error}") from None


def _by_mask(mask: Any, module: _Marked) -> PyTree:
    mask = jax.tree.map(magnitude, mask, is_leaf=is_quantity)
    if any(not isinstance(leaf, bool | np.bool_) for leaf in jax.tree.leaves(mask)):
        raise TypeError("`grad_states` is a module that is no mask: make one with `matrinox.select(model, pattern)`.")
    try:
        return jax.tree.map(
            lambda chosen, part: part if chosen else jax.tree.map(lambda _: None, part, is_leaf=_is_mark),
            mask,
            module.tree,
        )
    except ValueError as error:
        raise ValueError(
            f"`grad_states` is a mask of another model than {module.kind}: make it of this one."
        ) from error


def _by_function(function: Callable[[Any], Any], module: _Marked) -> PyTree:
    try:
        found = function(module.tree)
    except Exception as error:
        # A filter may ask a leaf for what the module does not have, such as `ndim`.
        kept = _kept(function, module)
        if kept is None:
            error.add_note(f"`grad_states` was asked of {module.kind}, which has {listed(module.paths)}.")
            raise
        return kept
    if isinstance(found, bool | np.bool_):
        kept = _kept(function, module)
        if kept is None:
            raise TypeError("`grad_states` is a filter that returned no bool for a leaf: return one for each leaf.")
        return kept
    strangers = [leaf for leaf in jax.tree.leaves(found, is_leaf=_is_mark) if not _is_mark(leaf)]
    if strangers:
        raise ValueError(
            f"`grad_states` returned {describe(strangers[0])}, which is no leaf of {module.kind}: return its leaves as "
            "they are, such as `lambda model: model.weight`."
        )
    return found


def _kept(keep: Callable[[Any], Any], module: _Marked) -> PyTree | None:
    """The module with `None` for each leaf that `keep` says no to; nothing if `keep` is no filter of leaves."""
    try:
        # As the filters of Equinox, which look into quantities.
        answers = [keep(magnitude(mark.leaf)) for mark in module.marks]
    except Exception:
        return None
    if any(not isinstance(answer, bool | np.bool_) for answer in answers):
        return None
    return jax.tree.map(lambda mark: mark if answers[mark.index] else None, module.tree, is_leaf=_is_mark)
