"""What a function is differentiated by, taken out of it: leaves of its model, and arguments.

`take_out(func, args, kwargs, grad_states=…, argnums=…, argnames=…)` gives `(inputs, call)`: `inputs` is a tree of what
is differentiated, in the structure of the result (`var`, `arg` or `(var, arg)`), and `call(inputs)` is
`func(*args, **kwargs)` with these in their places. So `jax.grad(call)(inputs)` is the gradient, and
`jax.vjp(call, inputs)` and `jax.jvp(call, (inputs,), (tangents,))` are the products.
What is carried along, undifferentiated, is `None` in `inputs`.

| given | `inputs` |
|---|---|
| nothing | `arg`: the first argument |
| `argnums` | the argument, or a tuple of them if `argnums` is one |
| `argnames` | `(what argnums gives, {name: argument})`, with `None` for the first if `argnums` is not given |
| `grad_states` | `var`, in the structure of the selection |
| `grad_states` and one of the others | `(var, arg)` |

A transform returns `Transformed(name, func, run)`, so that another transform sees through it.
"""

import inspect
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from matrinox.contract.nearest import guess
from matrinox.paths import show
from matrinox.transforms.leaf import describe, is_float, is_float_array, is_model, is_quantity
from matrinox.transforms.reach import reach
from matrinox.transforms.states import pick
from matrinox.transforms.transformed import name_of

Argnums = int | np.integer | Sequence | None
Argnames = str | Collection | None


def take_out(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    grad_states: Any = None,
    argnums: Argnums = None,
    argnames: Argnames = None,
    check_states: bool = True,
) -> tuple[PyTree, Callable[[PyTree], Any]]:
    """What `func` is differentiated by at this call, and the call as a function of that (see above).

    **Arguments:** `func`, `args`, `kwargs`: the call; the others as `matrinox.grad` takes them.
    **Returns:** `(inputs, call)`.
    **Raises:** `ValueError` for a selection that does not fit the call; `TypeError` for an argument without floats.
    """
    names = argnames_of(argnames)
    positions = argnums_of(0 if grad_states is None and argnums is None and names is None else argnums)
    keys: list[Any] = [
        *([] if positions is None else [positions] if isinstance(positions, int) else positions),
        *(names or ()),
    ]
    _check_call(func, keys, args, kwargs)
    arguments = {key: _halves(func, key, kwargs[key] if isinstance(key, str) else args[key]) for key in keys}

    def placed(parts: PyTree) -> tuple[tuple[Any, ...], dict[str, Any]]:
        new = dict(zip(arguments, _arguments_in(parts, positions, names), strict=True))
        whole = {key: eqx.combine(part, arguments[key][1], is_leaf=is_quantity) for key, part in new.items()}
        return tuple(whole.get(i, arg) for i, arg in enumerate(args)), {
            name: whole.get(name, arg) for name, arg in kwargs.items()
        }

    part = _arguments_as(positions, names, {key: halves[0] for key, halves in arguments.items()})
    if grad_states is None:

        def call(inputs: PyTree) -> Any:
            new_args, new_kwargs = placed(inputs)
            return func(*new_args, **new_kwargs)

        return part, call
    reached = reach(func, args, kwargs)
    if reached.argument in keys:
        raise ValueError(
            f"`grad_states` selects leaves of the argument {_described(func, reached.argument)} of {name_of(func)}, "
            "which is selected itself: leave out one of the two."
        )
    var, put = pick(reached.module, grad_states, check=check_states)

    def call_with_states(inputs: PyTree) -> Any:
        var, part = (inputs, None) if not keys else inputs
        new_args, new_kwargs = placed(part) if keys else (args, kwargs)
        return reached.call(put(var), new_args, new_kwargs)

    return (var, part) if keys else var, call_with_states


def argnums_of(argnums: Argnums) -> int | tuple[int, ...] | None:
    """`argnums` as an int or a tuple, checked.

    **Raises:** `ValueError` for a bool, a negative number, one that is there twice, or none; `TypeError` for what is no
    int.
    """
    if argnums is None:
        return None
    numbers = []
    for number in argnums if isinstance(argnums, Sequence) else [argnums]:
        if isinstance(number, bool | np.bool_):
            raise ValueError(f"`argnums` (={argnums!r}) must be positions, not truth values: write 0 or 1.")
        try:
            numbers.append(operator.index(number))
        except TypeError:
            raise TypeError(
                f"`argnums` (={argnums!r}) must be an int or a sequence of ints: to select by name, use `argnames`."
            ) from None
    if any(number < 0 for number in numbers):
        raise ValueError(f"`argnums` (={argnums!r}) must not be negative: count the arguments from the front.")
    if not numbers:
        raise ValueError(f"`argnums` (={argnums!r}) names no argument: name some, or leave it out.")
    _check_each_once("argnums", argnums, numbers)
    return tuple(numbers) if isinstance(argnums, Sequence) else numbers[0]


def argnames_of(argnames: Argnames) -> tuple[str, ...] | None:
    """`argnames` as a tuple, checked; nothing for no names, as in MLX.

    **Raises:** `TypeError` if one is no text; `ValueError` if one is there twice.
    """
    if argnames is None or not len(argnames):
        return None
    names = (argnames,) if isinstance(argnames, str) else tuple(argnames)
    if any(not isinstance(name, str) for name in names):
        raise TypeError(
            f"`argnames` (={argnames!r}) must be a name or a sequence of names: for positions, use `argnums`."
        )
    _check_each_once("argnames", argnames, names)
    return names


def _check_each_once(option: str, given: Any, keys: Sequence[Any]) -> None:
    if len(set(keys)) < len(keys):
        raise ValueError(f"`{option}` (={given!r}) names an argument twice: name each once.")


def _check_call(func: Any, keys: list[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    for key in keys:
        if isinstance(key, int) and key >= len(args):
            raise ValueError(
                f"`argnums` has {key}, but {name_of(func)} was called with {len(args)} positional "
                f"argument{'s' * (len(args) != 1)}: choose a smaller one, or use `argnames` for what is passed by name."
            )
        if isinstance(key, str) and key not in kwargs:
            raise ValueError(
                f"`argnames` has {key!r}, which {name_of(func)} was not passed by name{guess(key, kwargs) or ':'} "
                "pass it by name, or use `argnums` for its position."
            )


def _arguments_as(positions: Any, names: tuple[str, ...] | None, by_key: Mapping[Any, Any]) -> PyTree:
    if positions is None:
        part = None
    elif isinstance(positions, int):
        part = by_key[positions]
    else:
        part = tuple(by_key[position] for position in positions)
    return part if names is None else (part, {name: by_key[name] for name in names})


def _arguments_in(parts: PyTree, positions: Any, names: tuple[str, ...] | None) -> list[Any]:
    part, named = (parts, {}) if names is None else parts
    by_position = [] if positions is None else [part] if isinstance(positions, int) else list(part)
    return [*by_position, *(named[name] for name in names or ())]


def _halves(func: Any, key: int | str, argument: PyTree) -> tuple[PyTree, PyTree]:
    """What is differentiated of an argument, and the rest, each with `None` for the other."""

    def floats(node: Any) -> Any:
        # In a module, a Python float is a setting such as a dropout's `p`, and not a parameter.
        return jax.tree.map(is_float_array, node, is_leaf=is_quantity) if is_model(node) else is_float(node)

    mask = jax.tree.map(floats, argument, is_leaf=lambda node: is_model(node) or is_quantity(node))
    if not any(jax.tree.leaves(mask)):
        seen = jtu.tree_flatten_with_path(argument, is_leaf=is_quantity)[0]
        kinds = ", ".join(f"{show(path)} {describe(leaf)}".strip() for path, leaf in seen[:4]) or "nothing"
        raise TypeError(
            f"{name_of(func)} cannot be differentiated by its argument {_described(func, key)}, which holds {kinds}: "
            "pass floats, or select another with `argnums` or `argnames`."
        )
    return eqx.partition(argument, mask, is_leaf=is_quantity)


def _described(func: Callable[..., Any], key: int | str | None) -> str:
    try:
        names = list(inspect.signature(func).parameters)
    except (TypeError, ValueError):
        names = []
    return f"{key} (`{names[key]}`)" if isinstance(key, int) and key < len(names) else f"`{key}`"
