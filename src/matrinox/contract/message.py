"""What a violated contract says: who refused, what came, what was due, the first axis that differs, and the cause.

`describe_argument` and `describe_return` take the signature and the values of one call; they are only reached once
jaxtyping and beartype have refused it, and put that refusal in the words of the model.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args, get_origin

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import jaxtyping
import numpy as np
from beartype.door import is_bearable

from matrinox.contract.axes import (
    EXAMPLES,
    NEURONS,
    RULES,
    SPACES,
    TIMES,
    UNIONS,
    Axis,
    align,
    array_annotations,
    bind,
    first_difference,
    read_axes,
)
from matrinox.contract.nearest import guess
from matrinox.contract.sizes import is_array_annotation

_SELF_SIZES = re.compile(r"\{self\.(\w+)\}")
_WORDS = {"Shaped": "", "Int": "integer ", "Integer": "integer ", "UInt": "unsigned integer ", "Key": "PRNG key "}


Entry = tuple[str, Any, Any]
"""What a value is called, its annotation, and the value."""


def describe_argument(name: str, entries: Sequence[Entry], values: Mapping[str, Any]) -> str | None:
    """One sentence on the first argument that breaks its annotation, or `None` if each by itself is as it should be.

    **Arguments:** `name`: the callable's name, as `callable_name` gives it; `entries`: its arguments in order;
    `values`: what the annotations' expressions may name.
    **Returns:** such as `"Dense(p=2, q=3, n=4) got x float32[2, 4, 5]; it takes (…): axis -1 is 5, n is 4."`
    """
    scope = _Scope(values, "takes", "as ")
    for what, hint, value in entries:
        fault = _fault(what, hint, value, scope)
        if fault:
            return f"{name} got {fault}"
    return None


def describe_return(
    name: str, entries: Sequence[Entry], values: Mapping[str, Any], hint: Any, value: Any
) -> str | None:
    """One sentence on a returned `value` that breaks its `hint`, or `None`; the rest as in `describe_argument`."""
    scope = _Scope(values, "promises", "")
    for what, argument_hint, argument in entries:
        _fault(what, argument_hint, argument, scope)
    fault = _fault("", hint, value, scope)
    return f"{name} returned {fault.strip()}" if fault else None


def callable_name(qualname: str, owner: Any) -> str:
    """`Dense(p=2, q=3, n=4)` for a call on a module, `Dense` while it is built, `dense` for a function."""
    name = qualname.rpartition(".")[2]
    title = type(owner).__name__
    if name == "__init__" and owner is not None:
        return title
    if not isinstance(owner, eqx.Module):
        return name
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


@dataclass
class _Scope:
    """One call's values and the axis names bound so far; and how its messages speak of it."""

    values: Mapping[str, Any]
    verb: str
    particle: str
    bindings: dict[str, Any] = field(default_factory=dict)


def _fault(what: str, hint: Any, value: Any, scope: _Scope) -> str | None:
    """`None`, and axis names bound, if `value` is as `hint` says; else what came, what was due and how they differ."""
    if hint is inspect.Signature.empty or hint is Any:
        return None
    origin, options = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fault(what, options[0], value, scope)
    if origin in UNIONS:
        bound = dict(scope.bindings)
        for option in options:
            if _fault(what, option, value, scope) is None:
                return None
            scope.bindings = dict(bound)
        return _union_fault(what, hint, value, scope)
    if is_array_annotation(hint):
        return _array_fault(what, [hint], value, scope)
    if _is_tree(hint):
        leaves = jtu.tree_flatten_with_path(value)[0]
        return _first(_fault(what + jtu.keystr(path), hint.leaftype, leaf, scope) for path, leaf in leaves)
    if not is_bearable(value, _without_arrays(hint), conf=RULES):
        remedy = guess(value, _choices(hint)) or "."
        return f"{what} {scope.particle}{_show(value)}; it {scope.verb} {_show_hint(hint, scope)}{remedy}"
    if origin is tuple and options[-1:] != (...,):
        parts = zip(options, value, strict=True)
        return _first(_fault(f"{what}[{i}]", option, part, scope) for i, (option, part) in enumerate(parts))
    if origin in (tuple, list, Sequence):
        # beartype samples these: here every entry is looked at.
        return _first(_fault(f"{what}[{i}]", options[0], part, scope) for i, part in enumerate(value))
    return None


def _first(faults: Iterator[str | None]) -> str | None:
    return next((fault for fault in faults if fault), None)


def _is_tree(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, jaxtyping.PyTree) and hasattr(hint, "leaftype")


def _without_arrays(hint: Any) -> Any:
    # Names bound in one part of a container are not known in another to beartype alone.
    origin, options = get_origin(hint), get_args(hint)
    if array_annotations(hint):
        return Any
    if origin is tuple and options[-1:] != (...,):
        return tuple[tuple(_without_arrays(option) for option in options)]
    return origin if origin in (tuple, list, Sequence) else hint


def _union_fault(what: str, hint: Any, value: Any, scope: _Scope) -> str:
    arrays = array_annotations(hint)
    if arrays and (_is_array(value) or len(arrays) == len([o for o in get_args(hint) if o is not type(None)])):
        return str(_array_fault(what, arrays, value, scope))
    # A key is a 0-d key array or, as JAX once had it, a few uint32: to a reader it is a key.
    arrays = tuple(array for array in arrays if array.dtype is jaxtyping.Key)[:1] or arrays
    others = [
        _show_hint(option, scope)
        for option in get_args(hint)
        if not (is_array_annotation(option) or option is type(None))
    ]
    due = list(dict.fromkeys([*(_show_array(array, scope) for array in arrays), *others]))
    remedy = guess(value, _choices(hint)) or "."
    return f"{what} {scope.particle}{_show(value)}; it {scope.verb} {' or '.join(due)}{remedy}"


def _choices(hint: Any) -> list[str]:
    """The words among the values that a hint allows."""
    options = get_args(hint)
    if get_origin(hint) is Literal:
        return [option for option in options if isinstance(option, str)]
    return [word for option in options for word in _choices(option)] if get_origin(hint) in UNIONS else []


def _array_fault(what: str, arrays: Sequence[Any], value: Any, scope: _Scope) -> str | None:
    forms = {(array.dtype, array.dim_str): array for array in arrays}
    if not any(_is_of_type(array, value) for array in arrays):
        return _type_fault(what, list(forms.values()), value, scope)
    kinds = [array for array in forms.values() if _right_kind(array, value)]
    closest = min(kinds or forms.values(), key=lambda array: abs(len(array.dim_str.split()) - value.ndim))
    axes = read_axes(closest.dim_str, scope.values, scope.bindings)
    difference = first_difference(axes, value.shape)
    if kinds and difference is None:
        bind(axes, value.shape, scope.bindings)
        return None
    kind = _kind(closest) if not kinds else ""
    due = f"{kind}({', '.join(map(str, axes))})"
    if len(forms) > 1:
        due = " or ".join(_kind(array) + _show_axes(array, scope) for array in forms.values())
    fact = difference if kinds else f"its dtype is {value.dtype}"
    cause = _cause(what, closest, axes, value, scope, right_kind=bool(kinds))
    return f"{what} {_show(value)}; it {scope.verb} {due}: {fact}.{cause}"


def _type_fault(what: str, arrays: Sequence[Any], value: Any, scope: _Scope) -> str:
    due, came, remedy = " or ".join(_show_array(array, scope) for array in arrays), _show(value), ""
    if isinstance(value, np.ndarray | np.generic):
        due, came = due.replace("array", "JAX array", 1), f"a NumPy array {came}"
    if isinstance(value, list | tuple | np.ndarray | np.generic):
        remedy = f": convert it with jnp.asarray({what})" if what else ": convert it with jnp.asarray"
    return f"{what} {scope.particle}{came}; it {scope.verb} {due}{remedy}."


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | jax.Array)


def _is_of_type(array: Any, value: Any) -> bool:
    if array.array_type is Any:
        return hasattr(value, "shape") and hasattr(value, "dtype")
    return isinstance(value, array.array_type)


def _right_kind(array: Any, value: Any) -> bool:
    return isinstance(value, array.dtype[Any, "..."])


def _kind(array: Any) -> str:
    name: str = array.dtype.__name__
    return _WORDS.get(name, name.lower() + " ")


def _show_axes(array: Any, scope: _Scope) -> str:
    return f"({', '.join(map(str, read_axes(array.dim_str, scope.values, scope.bindings)))})"


def _show_array(array: Any, scope: _Scope) -> str:
    if array.dtype.__name__ == "Key":
        return "a PRNG key, such as jax.random.key(0)"
    kind = _kind(array)
    return f"{_article(kind + 'array')}{kind}array {_show_axes(array, scope)}"


def _known_sizes(scope: _Scope) -> dict[str, int]:
    sizes = {label: size for label, size in scope.bindings.items() if isinstance(size, int)}
    for owner in scope.values.values():
        if isinstance(owner, eqx.Module):
            sizes.update((label, size) for label, size in _module_sizes(owner) if isinstance(size, int))
    return sizes


def _cause(what: str, due: Any, axes: tuple[Axis, ...], value: Any, scope: _Scope, *, right_kind: bool) -> str:
    """A sentence where exactly one mistake, undone, makes the value fit; else nothing."""
    shape = tuple(value.shape)
    if not right_kind:
        takes_floats = isinstance(np.zeros((), np.float32), due.dtype[np.ndarray, "..."])
        is_whole = value.dtype == bool or jnp.issubdtype(value.dtype, jnp.integer)
        if takes_floats and is_whole and first_difference(axes, shape) is None:
            return f" Cast it: {what}.astype(jnp.float32)."
        return ""
    swapped = _swapped(axes, shape, _known_sizes(scope))
    causes = {
        cause
        for cause, mended in (*swapped, *_not_square(axes, shape), *_missing(axes, shape))
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
    # An axis of size p is taken for the neurons, though by chance it may be another; where any p will do, who knows?
    has_neurons = len(shape) >= -neuron and p in (None, shape[neuron])
    if absent == 1 and (p is None or not has_neurons):
        at = len(shape) + neuron + 1
        yield "The neuron axis is missing.", (*shape[:at], p if isinstance(p, int) else 1, *shape[at:])
    for names, what in ((TIMES, "time"), (SPACES, "space"), (EXAMPLES, "batch")):
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
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if isinstance(value, list | dict | set):
        return f"a {type(value).__name__}"
    if value is None:
        return "None"
    if isinstance(value, eqx.Module) or inspect.isroutine(value):
        return f"a {type(value).__name__}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '…'} ({type(value).__name__})"


def _show_hint(hint: Any, scope: _Scope) -> str:
    arrays, options = array_annotations(hint), get_args(hint)
    if arrays:
        return " or ".join(dict.fromkeys(_show_array(array, scope) for array in arrays))
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, options))
    if get_origin(hint) is tuple and options and options[-1] is not Ellipsis:
        return f"a tuple of {len(options)}: {', '.join(_show_hint(option, scope) for option in options)}"
    if isinstance(hint, type) and not issubclass(hint, jaxtyping.AbstractArray):
        return f"{_article(hint.__name__)}{hint.__name__}"
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(hint))


def _article(word: str) -> str:
    return "an " if word[0].lower() in "aeiou" else "a "
