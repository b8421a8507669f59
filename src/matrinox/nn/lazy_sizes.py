"""What the annotations of a layer class tell of its sizes, before there is a layer: `{self.p}` names the size p."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args, get_origin

from matrinox.contract import ContractError
from matrinox.contract.axes import align, array_annotations, first_difference, read_axes
from matrinox.contract.checked import evaluated_signature
from matrinox.contract.message import describe_argument
from matrinox.contract.sizes import evaluate_size, fill_sizes, named_sizes

_SIZE = re.compile(r"(?:\w+=)?\{self\.(\w+)\}")


def options_of(layer_class: type) -> Mapping[str, inspect.Parameter]:
    """The parameters of the class's `__init__`, by name."""
    return dict(list(inspect.signature(layer_class.__init__).parameters.items())[1:])


def missing_options(layer_class: type, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters, but for the key, that have no default and are not among the `given`."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(
        name
        for name, parameter in options_of(layer_class).items()
        if parameter.kind in kinds and parameter.default is parameter.empty and name not in given and name != "key"
    )


def sizes_told(layer_class: type, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the sizes that the arguments of a call would tell, `given` the options so far."""
    layer = _StandIn(layer_class, given)
    signature = _call_signature(layer_class)
    hints = (layer.filled(parameter.annotation) for parameter in signature.parameters.values())
    tokens = (token for hint in hints for array in _arrays(hint) for token in array.dim_str.split())
    return tuple(dict.fromkeys(match[1] for match in map(_SIZE.fullmatch, tokens) if match))


def read_sizes(
    name: str,
    layer_class: type,
    given: Mapping[str, Any],
    missing: tuple[str, ...],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> dict[str, int]:
    """The sizes that are `missing` among the `given` options, from the arguments of a call.

    **Arguments:** `name`: what to call the layer in a message; `args`, `kwargs`: of the call.
    **Raises:** `ContractError` for an argument that does not fit its annotation, whatever the missing sizes are, and
    where no argument of the call tells a size.
    """
    found: dict[str, int] = {}
    signature = _call_signature(layer_class)
    for argument, value in signature.bind(None, *args, **kwargs).arguments.items():
        parameter = signature.parameters[argument]
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        layer = _StandIn(layer_class, {**given, **found})
        hint = layer.filled(parameter.annotation)
        fault = describe_argument(name, [(argument, hint, value)], {"self": layer})
        if fault:
            raise ContractError(fault)
        for array, part in _pairs(hint, value):
            found |= {size: count for size, count in _read(array, part) if size in missing}
    untold = [size for size in missing if size not in found]
    if untold:
        raise ContractError(f"{name} is called with nothing that tells `{untold[0]}`: give it to Lazy.")
    return {size: found[size] for size in missing}


class _StandIn:
    """Plays the layer before there is one: a size that is not known reads as its own token, `{self.p}`."""

    def __init__(self, layer_class: type, given: Mapping[str, Any]):
        defaults = {name: parameter.default for name, parameter in options_of(layer_class).items()}
        unknown = {name: f"{{self.{name}}}" for name in missing_options(layer_class, given)}
        self._layer_class = layer_class
        self._known = {**defaults, **given, **unknown}

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Properties of the class that call `super()` ask for an instance of it.
        return self._layer_class

    def __getattr__(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        found = inspect.getattr_static(self._layer_class, name)
        return found.__get__(self, self._layer_class) if hasattr(found, "__get__") else found

    def filled(self, hint: Any) -> Any:
        """`hint` with the sizes that are known, and with the axes for which a token stands."""
        return fill_sizes(hint, {token: self._evaluated(token) for token in named_sizes(hint)})

    def _evaluated(self, token: str) -> int | str | None:
        names = getattr(inspect.unwrap(self._layer_class.__call__), "__globals__", {})
        try:
            return evaluate_size(token, {"self": self}, names)
        except Exception:
            # It needs what only the layer itself has: what it says is checked when there is one.
            return None


def _call_signature(layer_class: type) -> inspect.Signature:
    return evaluated_signature(inspect.unwrap(layer_class.__call__), {layer_class.__name__: layer_class})


def _arrays(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is tuple:
        for option in get_args(hint):
            yield from _arrays(option)
    else:
        yield from array_annotations(hint)


def _pairs(hint: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    if get_origin(hint) is tuple and isinstance(value, tuple):
        for option, part in zip(get_args(hint), value, strict=False):
            yield from _pairs(option, part)
    else:
        yield from ((array, value) for array in array_annotations(hint))


def _read(array: Any, value: Any) -> Iterator[tuple[str, int]]:
    axes = read_axes(array.dim_str, {}, {})
    if not isinstance(value, array.dtype[array.array_type, "..."]) or first_difference(axes, value.shape):
        return
    tokens = array.dim_str.split()
    named = tuple(replace(axis, label=token) for axis, token in zip(axes, tokens, strict=True))
    for axis, position in align(named, len(value.shape)):
        match = _SIZE.fullmatch(axis.label)
        if match and isinstance(position, int):
            yield match[1], value.shape[position]
