"""What a violated contract says: who refused, what came, what was due, the first axis that differs, and the cause.

`describe_argument` and `describe_return` take the signature and the values of one call; they are only reached once
jaxtyping and beartype have refused it, and put that refusal in the words of the model.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import equinox as eqx
import jax.numpy as jnp
import jaxtyping
import numpy as np
from beartype.door import is_bearable

from matrinox.contract.axes import (
    NEURONS,
    RULES,
    SPACES,
    TIMES,
    Axis,
    align,
    array_annotations,
    bind,
    first_difference,
    read_axes,
)

_SELF_SIZES = re.compile(r"\{self\.(\w+)\}")
_WORDS = {"Shaped": "", "Int": "integer ", "Integer": "integer ", "UInt": "unsigned integer ", "Key": "PRNG key "}


def describe_argument(name: str, hints: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """One sentence on the first argument that breaks its hint.

    **Arguments:** `name`: the callable's name, as `callable_name` gives it; `hints`: its annotations by argument;
    `values`: what it was called with.
    **Returns:** such as `"Dense(p=2, q=3, n=4) got x float32[2, 4, 5]; it takes (…): axis -1 is 5, n is 4."`
    """
    bindings: dict[str, Any] = {}
    for argument, hint in hints.items():
        if argument not in values:
            continue
        if not _bind_if_fits(hint, values[argument], values, bindings):
            due = _explain(argument, hint, values[argument], values, bindings)
            return f"{name} got {argument} {due}"
    return (
        f"{name} got arguments that disagree: {', '.join(f'{k} {_show(v)}' for k, v in values.items() if k in hints)}."
    )


def describe_return(name: str, hints: Mapping[str, Any], values: Mapping[str, Any], hint: Any, value: Any) -> str:
    """One sentence on a returned `value` that breaks its `hint`; the other arguments as in `describe_argument`."""
    bindings: dict[str, Any] = {}
    for argument, argument_hint in hints.items():
        if argument in values:
            _bind_if_fits(argument_hint, values[argument], values, bindings)
    return f"{name} returned {_explain('the value', hint, value, values, bindings, verb='promises')}"


def callable_name(qualname: str, owner: Any) -> str:
    """`Dense(p=2, q=3, n=4)` for a call on a module, `Dense` while it is built, `dense` for a function."""
    name = qualname.rpartition(".")[2]
    if not isinstance(owner, eqx.Module):
        return name
    title = type(owner).__name__
    if name == "__init__":
        return title
    sizes = ", ".join(f"{label}={size}" for label, size in _module_sizes(owner))
    return title + (f"({sizes})" if sizes else "") + ("" if name == "__call__" else f".{name}")


def _module_sizes(module: eqx.Module) -> Iterator[tuple[str, Any]]:
    hints = " ".join(
        str(getattr(method, "__annotations__", ""))
        for owner in type(module).__mro__
        for method in vars(owner).values()
        if inspect.isfunction(method)
    )
    for label in dict.fromkeys(("p", "q", "n", *_SELF_SIZES.findall(hints))):
        try:
            size = getattr(module, label, None)
        except Exception:
            # A property over fields that are themselves at fault.
            continue
        if isinstance(size, int | tuple) and not isinstance(size, bool):
            yield label, size


def _bind_if_fits(hint: Any, value: Any, arguments: Mapping[str, Any], bindings: dict[str, Any]) -> bool:
    arrays = array_annotations(hint)
    for annotation in arrays:
        axes = read_axes(annotation.dim_str, arguments, bindings)
        if _right_kind(annotation, value) and first_difference(axes, value.shape) is None:
            bind(axes, value.shape, bindings)
            return True
    others = [option for option in get_args(hint) or (hint,) if option not in arrays]
    if arrays:
        return any(is_bearable(value, option, conf=RULES) for option in others)
    # Names inside containers cannot be bound from here: jaxtyping has, in the call that failed.
    return hint is inspect.Signature.empty or is_bearable(value, hint, conf=RULES)


def _right_kind(annotation: Any, value: Any) -> bool:
    return isinstance(value, annotation.array_type) and isinstance(
        value, annotation.dtype[annotation.array_type, "..."]
    )


def _explain(
    argument: str,
    hint: Any,
    value: Any,
    arguments: Mapping[str, Any],
    bindings: Mapping[str, Any],
    verb: str = "takes",
) -> str:
    subject = "" if verb == "promises" else "as "
    arrays = array_annotations(hint)
    if not arrays:
        return f"{subject}{_show(value)}; it {verb} {_show_hint(hint)}."
    matching = [annotation for annotation in arrays if isinstance(value, annotation.array_type)]
    annotation = (matching or list(arrays))[0]
    axes = read_axes(annotation.dim_str, arguments, bindings)
    due = f"({', '.join(map(str, axes))})"
    kind = _WORDS.get(annotation.dtype.__name__, annotation.dtype.__name__.lower() + " ")
    if not matching:
        remedy = f": convert it with jnp.asarray({argument})" if isinstance(value, list | tuple) else ""
        return f"{subject}{_show(value)}; it {verb} {_article(kind or 'array')}{kind}array {due}{remedy}."
    right_kind = _right_kind(annotation, value)
    if right_kind:
        fact = first_difference(axes, value.shape)
        kind = ""
    else:
        fact = f"its dtype is {value.dtype}"
    sizes = _known_sizes(arguments, bindings)
    takes_floats = isinstance(np.zeros((), np.float32), annotation.dtype[np.ndarray, "..."])
    cause = _cause(argument, axes, value, sizes, right_kind=right_kind, takes_floats=takes_floats)
    return f"{_show(value)}; it {verb} {kind}{due}: {fact}.{cause}"


def _known_sizes(arguments: Mapping[str, Any], bindings: Mapping[str, Any]) -> dict[str, int]:
    sizes = {label: size for label, size in bindings.items() if isinstance(size, int)}
    for owner in arguments.values():
        if isinstance(owner, eqx.Module):
            sizes.update((label, size) for label, size in _module_sizes(owner) if isinstance(size, int))
    return sizes


def _cause(
    argument: str,
    axes: tuple[Axis, ...],
    value: Any,
    sizes: Mapping[str, int],
    *,
    right_kind: bool,
    takes_floats: bool,
) -> str:
    """A sentence where exactly one mistake, undone, makes the value fit; else nothing."""
    shape = tuple(value.shape)
    if not right_kind:
        if takes_floats and not jnp.issubdtype(value.dtype, jnp.inexact) and first_difference(axes, shape) is None:
            return f" Cast it: {argument}.astype(jnp.float32)."
        return ""
    causes = {
        cause
        for cause, mended in (*_swapped(axes, shape, sizes), *_not_square(axes, shape), *_missing(axes, shape))
        if first_difference(axes, mended) is None
    }
    return f" {causes.pop()}" if len(causes) == 1 else ""


_Mended = Iterator[tuple[str, tuple[int, ...]]]


def _swapped(axes: tuple[Axis, ...], shape: tuple[int, ...], sizes: Mapping[str, int]) -> _Mended:
    for axis, index in _fixed(axes, len(shape)):
        other = {"p": "q", "q": "p"}.get(axis.label, "")
        if isinstance(axis.size, int) and sizes.get(other) not in (None, axis.size) and shape[index] == sizes[other]:
            mended = (*shape[:index], axis.size, *shape[len(shape) + index + 1 if index < 0 else index + 1 :])
            yield f"p and q are swapped: axis {index} holds {other}'s size.", mended


def _not_square(axes: tuple[Axis, ...], shape: tuple[int, ...]) -> _Mended:
    if len(shape) >= 2 and len(axes) >= 2 and axes[-1].label == axes[-2].label and shape[-1] != shape[-2]:
        for n in shape[-2:]:
            yield f"The matrices are not square: {shape[-2]}×{shape[-1]}.", (*shape[:-2], n, n)


def _missing(axes: tuple[Axis, ...], shape: tuple[int, ...]) -> _Mended:
    due = [axis for axis in axes if not axis.variadic]
    absent = len(due) - len(shape)
    neuron = next((i - len(due) for i, axis in enumerate(due) if axis.label in NEURONS), None)
    if absent < 1 or neuron is None:
        return
    p = due[neuron].size
    has_neurons = len(shape) >= -neuron and p in (None, shape[neuron])
    if absent == 1 and not has_neurons:
        at = len(shape) + neuron + 1
        yield "The neuron axis is missing.", (*shape[:at], p if isinstance(p, int) else 1, *shape[at:])
    for names, what in ((TIMES, "time"), (SPACES, "space")):
        places = [axis.label for axis in due if axis.label in names]
        if has_neurons and absent <= len(places):
            text = f"The {what} axis is missing."
            if len(places) > 1:
                few = "The" if absent == len(places) else ("One of the", "Two of the")[absent - 1]
                text = f"{few} {what} axes ({', '.join(places)}) {'is' if few.startswith('One') else 'are'} missing."
            yield text, (1,) * absent + shape


def _fixed(axes: tuple[Axis, ...], rank: int) -> Iterator[tuple[Axis, int]]:
    if rank >= sum(not axis.variadic for axis in axes):
        for axis, position in align(axes, rank):
            if isinstance(position, int):
                yield axis, position


def _show(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, list | tuple | dict | set):
        return f"a {type(value).__name__}"
    if value is None:
        return "None"
    if isinstance(value, eqx.Module) or inspect.isroutine(value):
        return f"a {type(value).__name__}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '…'} ({type(value).__name__})"


def _show_hint(hint: Any) -> str:
    if isinstance(hint, type) and not issubclass(hint, jaxtyping.AbstractArray):
        return f"{_article(hint.__name__)}{hint.__name__}"
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(hint))


def _article(word: str) -> str:
    return "an " if word[0].lower() in "aeiou" else "a "
