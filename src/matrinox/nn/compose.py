"""`Sequential`: layers in a row whose joints are checked when it is built."""

import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray, PyTree

from matrinox.contract import ContractError, contract
from matrinox.contract.axes import Axis, array_annotations, difference, read_axes
from matrinox.contract.checked import evaluated_signature
from matrinox.contract.message import callable_name


@contract
class Sequential(eqx.nn.Sequential):
    """Layers applied one after another: `y = layers[-1](… layers[0](x))`.

    What one layer gives is compared with what the next one takes as soon as they are put together, from their
    annotations alone. What an unannotated layer gives (a Lambda, an `eqx.nn.Linear`) is unknown until a shape is given.

    **Arguments:** `layers`: callables `layer(x, *, key)`; stateful ones as in `eqx.nn.Sequential`.
    **Raises:** `ContractError`, when built, naming both layers of a joint that does not fit; `TypeError` for
    what is not callable, and for a function that does not take `key`.

    >>> import jax
    >>> from matrinox.nn.linear import Dense
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> model = Sequential([Dense(p=2, q=3, n=4, key=k0), Dense(p=3, q=5, n=4, key=k1)])
    >>> model.shapes((2, 4, 4))
    ((2, 4, 4), (3, 4, 4), (5, 4, 4))
    """

    def __init__(self, layers: Sequence[Callable[..., Any]]):
        super().__init__(layers)
        _check_layers(self.layers)
        _check_joints(self.layers)

    def __call__(self, x: PyTree, state: eqx.nn.State | None = None, *, key: PRNGKeyArray | None = None) -> Any:
        """Applies the layers in turn; `state` is passed to, and updated by, the stateful ones.

        **Arguments:** `x`: what the first layer takes; `state`: needed if a layer is stateful; `key`: split over the
        layers.
        **Returns:** what the last layer gives, `(output, state)` if `state` was given.
        **Raises:** `ValueError` if a layer is stateful and `state` is missing.
        """
        if state is not None:
            return super().__call__(x, state, key=key)
        for index, layer in enumerate(self.layers):
            if isinstance(layer, eqx.nn.StatefulLayer) and layer.is_stateful():
                raise ValueError(
                    f"`state` (=None) is needed, as layers[{index}] ({type(layer).__name__}) is stateful: build with"
                    " eqx.nn.make_with_state and call model(x, state)."
                )
        return super().__call__(x, key=key)

    def __getitem__(self, i: int | slice) -> Any:
        return Sequential(self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def shapes(
        self,
        shape: tuple[int, ...],
        state: eqx.nn.State | None = None,
        *,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Any, ...]:
        """Traces the chain at no compute: the shape of the input and that behind every layer.

        **Arguments:** `shape`, `dtype`: of the input; `state`, `key`: as for a call.
        **Returns:** `len(layers) + 1` shapes; a tree of them behind a layer that gives more than one array.
        **Raises:** what the first layer that refuses raises, with a note of the shapes up to there.
        """
        keys = [None] * len(self.layers) if key is None else list(jax.random.split(key, len(self.layers)))
        shapes = [shape]

        def trace(x: Array, state: eqx.nn.State | None) -> None:
            for layer, layer_key in zip(self.layers, keys, strict=True):
                if isinstance(layer, eqx.nn.StatefulLayer) and layer.is_stateful():
                    x, state = layer(x, state=state, key=layer_key)
                else:
                    x = layer(x, key=layer_key)
                shapes.append(jax.tree.map(jnp.shape, x))

        try:
            eqx.filter_eval_shape(trace, jax.ShapeDtypeStruct(shape, dtype), state)
        except Exception as error:
            error.add_note(f"Shapes up to layers[{len(shapes) - 1}]: {' -> '.join(map(str, shapes))}.")
            raise
        return tuple(shapes)


def _check_layers(layers: Sequence[Any]) -> None:
    for index, layer in enumerate(layers):
        if not callable(layer):
            raise TypeError(f"`layers[{index}]` (={layer!r}) must be callable: give layers, or functions in nn.Lambda.")
        if inspect.isroutine(inspect.unwrap(layer)) and not _takes_key(layer):
            name = getattr(layer, "__name__", repr(layer))
            raise TypeError(f"`layers[{index}]` (={name}) must take the keyword `key`: wrap it as nn.Lambda({name}).")


def _takes_key(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        return False
    return "key" in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


def _check_joints(layers: Sequence[Callable[..., Any]]) -> None:
    before: tuple[str, tuple[Axis, ...]] | None = None
    for name, layer in _flattened(layers):
        taken, given = _annotations(layer)
        owner = {"self": layer}
        bindings: dict[str, int] = {}
        if before is not None and taken:
            options = [read_axes(option, owner, {}) for option in taken]
            facts = [_first_misfit(before[1], option, bindings) for option in options]
            if all(facts):
                due = " or ".join(f"({', '.join(map(str, option))})" for option in options)
                came = ", ".join(map(str, before[1]))
                raise ContractError(f"{name} takes {due}, but {before[0]} gives ({came}): {facts[0]}.")
        before = (name, read_axes(given, owner, bindings)) if given and len(taken) == 1 else None


def _flattened(layers: Sequence[Callable[..., Any]], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for index, layer in enumerate(layers):
        path = f"{prefix}layers[{index}]"
        if isinstance(layer, eqx.nn.Sequential):
            yield from _flattened(layer.layers, path + ".")
        else:
            name = callable_name("__call__" if isinstance(layer, eqx.Module) else layer.__qualname__, layer)
            yield f"{path}: {name}", layer


def _annotations(layer: Callable[..., Any]) -> tuple[list[str], str | None]:
    """The shape strings that `layer` takes first, one for each option, and that of what it gives, where declared."""
    called = type(layer).__call__ if isinstance(layer, eqx.Module) else layer
    try:
        signature = evaluated_signature(inspect.unwrap(called), {type(layer).__name__: type(layer)})
    except ValueError:
        return [], None
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    taken = array_annotations(parameters[0].annotation) if parameters else ()
    given = signature.return_annotation
    if typing.get_origin(given) is tuple:
        given = typing.get_args(given)[0]
    arrays = list(dict.fromkeys(array.dim_str for array in array_annotations(given)))
    return list(dict.fromkeys(array.dim_str for array in taken)), arrays[0] if len(arrays) == 1 else None


def _first_misfit(given: tuple[Axis, ...], taken: tuple[Axis, ...], bindings: dict[str, int]) -> str | None:
    for place, (out, into) in enumerate(zip(reversed(given), reversed(taken), strict=False), start=1):
        if out.variadic or into.variadic:
            break
        expected = into.size if into.size is not None else bindings.get(into.label)
        if isinstance(out.size, int):
            if expected is not None and out.size != expected:
                return difference(into.label, -place, out.size, expected)
            bindings.setdefault(into.label, out.size)
    # A variadic axis may be empty; without one, the axes that are there must be those that are due.
    least, most = (sum(not axis.variadic for axis in axes) for axes in (given, taken))
    open_given, open_taken = least < len(given), most < len(taken)
    if (least > most and not open_taken) or (least < most and not open_given):
        return f"it has {least} axes, {most} are due"
    return None
