"""Vectorisation: a function of one example made into one of many, over modules and nested lists, tuples and dicts."""

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.contract.nearest import guess
from matrinox.transforms.leaf import describe
from matrinox.transforms.transformed import Transformed, name_of


class _Mapped(NamedTuple):
    """An array that is mapped, by the name and path under which the function gets it."""

    name: str
    array: Any
    axis: int

    @property
    def size(self) -> int:
        return self.array.shape[self.axis]

    def __str__(self) -> str:
        return f"`{self.name}` {describe(self.array)} has {self.size} on axis {self.axis}"


@contract
def vmap(
    func: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Hashable = None,
    axis_size: int | None = None,
) -> Callable[..., Any]:
    """`func` of each slice along an axis, all at once: `vmap(func)(x)[i] = func(x[i])`.

    Arrays are mapped, wherever they are in an argument; all else (functions, numbers, text, settings of a module) is
    the same for every slice, in and out. A model that `func` is bound to is not mapped: to map over a stack of models,
    pass it as an argument.

    **Arguments:** `func`: any function, method or module. `in_axes`: an axis, for every positional argument; or `None`,
    for none; or a tuple with one entry for each, where an entry is an axis, `None`, a function of a leaf to one of
    these (such as `eqx.if_array(1)`), or a tree of entries down to any depth of the argument; or a dict of entries by
    the name of the argument, with 0 for those it leaves out. Arguments passed by name are mapped along axis 0 unless
    the dict has another. `out_axes`: an entry for what is returned; `None` for what is the same for every slice.
    `axis_name`: the axis for collectives such as `jax.lax.pmean`, and for layers with an `axis_name`. `axis_size`: the
    number of slices where no array is mapped.
    **Returns:** the function of all slices, with the arguments of `func`.
    **Raises:** when called: `ValueError` if mapped axes differ in size or are not there, naming each argument and the
    path in it; if axes do not fit the arguments or the result; or if no array is mapped. `TypeError` for what is no
    axis.
    **Source:** JAX and MLX, `vmap`; `equinox.filter_vmap`.

    >>> import jax.numpy as jnp
    >>> add = vmap(lambda x, y: x + y, in_axes=(1, 0))
    >>> add(jnp.ones((4096, 100)), jnp.ones((100, 4096))).shape
    (100, 4096)
    """

    def run(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        name = f"vmap({name_of(func)})"
        names = _names(func, len(args))
        entries, by_name = _entries(in_axes, names, kwargs, name)
        given = [*zip(names, args, entries, strict=True)] + [(key, kwargs[key], by_name[key]) for key in kwargs]
        axes = [_leaf_axes(entry, value, argument, "in_axes", name) for argument, value, entry in given]
        of_each = zip(given, axes, strict=True)
        mapped = [each for (argument, value, _), tree in of_each for each in _mapped(argument, value, tree)]
        _check_sizes(mapped, axis_size, name)

        def call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            out = func(*args, **kwargs)
            _leaf_axes(out_axes, out, "result", "out_axes", name)
            return out

        over_slices = eqx.filter_vmap(
            call,
            in_axes=(tuple(axes[: len(args)]), dict(zip(kwargs, axes[len(args) :], strict=True))),
            out_axes=jax.tree.map(_of_arrays, out_axes, is_leaf=_is_none),
            axis_name=axis_name,
            axis_size=axis_size,
        )
        try:
            return over_slices(args, dict(kwargs))
        except ValueError as error:
            if "got axis spec None but output was batched" not in str(error):
                raise
            raise ValueError(
                f"`out_axes` (={out_axes!r}) of {name} has `None` for what differs from slice to slice: give its axis."
            ) from error

    return Transformed("vmap", func, run)


def _is_none(value: Any) -> bool:
    return value is None


def _of_arrays(axis: Any) -> Any:
    return eqx.if_array(axis) if isinstance(axis, int) else axis


def _names(func: Callable[..., Any], count: int) -> list[str]:
    """What `func` calls its positional arguments."""
    try:
        parameters = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):
        parameters = []
    single = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    rest = next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), "args")
    return [single[i] if i < len(single) else f"{rest}[{i - len(single)}]" for i in range(count)]


def _entries(in_axes: Any, names: list[str], kwargs: Mapping[str, Any], name: str) -> tuple[list[Any], dict[str, Any]]:
    """What `in_axes` says of each positional argument and of each that is passed by name."""
    by_name = dict.fromkeys(kwargs, 0)
    if isinstance(in_axes, Mapping):
        known = [*names, *kwargs]
        for key in in_axes:
            if key not in known:
                raise ValueError(
                    f"`in_axes` of {name} names {key!r}, which was not passed{guess(key, known) or ':'} name arguments "
                    f"of the call, which are {', '.join(known) or 'none'}."
                )
        return [in_axes.get(each, 0) for each in names], {key: in_axes.get(key, 0) for key in kwargs}
    if isinstance(in_axes, str) or not isinstance(in_axes, Sequence):
        return [in_axes] * len(names), by_name
    if len(in_axes) != len(names):
        raise ValueError(
            f"`in_axes` (={in_axes!r}) of {name} must have one entry for each of {len(names)} positional "
            f"arguments, and has {len(in_axes)}: add or leave out some."
        )
    return list(in_axes), by_name


def _leaf_axes(entry: Any, tree: PyTree, what: str, option: str, name: str) -> PyTree:
    """The axis, or `None`, of each leaf of `tree`, as an entry of `in_axes` or `out_axes` says."""

    def spread(axis: Any, part: PyTree) -> PyTree:
        if isinstance(axis, bool | np.bool_) or not (axis is None or isinstance(axis, int) or callable(axis)):
            raise TypeError(f"`{option}` (={entry!r}) of {name} has {axis!r}, which is no axis: give an int or `None`.")
        of_leaf = axis if callable(axis) else eqx.if_array(axis) if axis is not None else lambda _: None
        return jax.tree.map(of_leaf, part)

    try:
        axes = jax.tree.map(spread, entry, tree, is_leaf=_is_none)
    except ValueError as error:
        structure = str(jax.tree.structure(tree)).removeprefix("PyTreeDef")
        raise ValueError(
            f"`{option}` (={entry!r}) of {name} does not fit `{what}`, which is {structure}: give one axis, or a tree "
            "of axes like it."
        ) from error
    # The result of one slice is without the axis that it will have.
    more = 1 if option == "out_axes" else 0
    for each in _mapped(what, tree, axes):
        ndim = each.array.ndim + more
        if not -ndim <= each.axis < ndim:
            raise ValueError(
                f"`{option}` of {name} has the axis {each.axis} for `{each.name}`, which is {describe(each.array)}"
                f"{' for one slice' if more else ''}: choose one that is there, or `None` for what is not mapped."
            )
    return axes


def _mapped(what: str, tree: PyTree, axes: PyTree) -> list[_Mapped]:
    """The arrays of `tree` that have an axis."""
    named, _ = jtu.tree_flatten_with_path(tree, is_leaf=_is_none)
    by_leaf = zip(named, jax.tree.leaves(axes, is_leaf=_is_none), strict=True)
    return [_Mapped(what + jtu.keystr(path), leaf, axis) for (path, leaf), axis in by_leaf if axis is not None]


def _check_sizes(mapped: list[_Mapped], axis_size: int | None, name: str) -> None:
    if not mapped and axis_size is None:
        raise ValueError(
            f"{name} was called with no array to map: pass one, or give `axis_size`, the number of slices."
        )
    if axis_size is not None and (wrong := [each for each in mapped if each.size != axis_size]):
        raise ValueError(
            f"`axis_size` (={axis_size}) of {name} must be the size of each mapped axis, but {wrong[0]}: leave it out, "
            "or give that."
        )
    by_size: dict[int, _Mapped] = {}
    for each in mapped:
        by_size.setdefault(each.size, each)
    if len(by_size) > 1:
        raise ValueError(
            f"{name} maps axes of different sizes: {', '.join(map(str, by_size.values()))}: make them equal, or give "
            "`None` in `in_axes` for what is not mapped."
        )
