"""`Sequential`: layers in a row whose joints are checked when it is built."""

import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray, Shaped

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.contract.axes import Axis, array_annotations, difference, read_axes
from matrinox.contract.message import callable_name


@contract
class Sequential(eqx.nn.Sequential):
    """Layers applied one after another: `y = layers[-1](… layers[0](x))`.

    What one layer gives is compared with what the next one takes as soon as they are put together, from their
    annotations alone. Layers without shape annotations (a bare function, an `eqx.nn.Linear`) are skipped over.

    **Arguments:** `layers`: callables `layer(x, *, key)`; stateful ones as in `eqx.nn.Sequential`.
    **Raises:** `ContractError`, when built, naming both layers of a joint that does not fit.

    >>> import jax
    >>> from matrinox.nn.linear import Dense
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> model = Sequential([Dense(p=2, q=3, n=4, key=k0), Dense(p=3, q=5, n=4, key=k1)])
    >>> model.shapes((2, 4, 4))
    ((2, 4, 4), (3, 4, 4), (5, 4, 4))
    """

    def __init__(self, layers: Sequence[Callable[..., Any]]):
        super().__init__(layers)
        _check_joints(self.layers)

    @typing.overload
    def __call__(self, x: AnyArray, *, key: PRNGKeyArray | None = None) -> Array: ...

    @typing.overload
    def __call__(
        self, x: AnyArray, state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Array, eqx.nn.State]: ...

    def __call__(
        self, x: Shaped[AnyArray, "..."], state: eqx.nn.State | None = None, *, key: PRNGKeyArray | None = None
    ) -> Shaped[Array, "..."] | tuple[Shaped[Array, "..."], eqx.nn.State]:
        """Applies the layers in turn; `state` is passed to, and updated by, the stateful ones.

        **Arguments:** `x`: what the first layer takes; `state`: needed if a layer is stateful; `key`: split over the
        layers.
        **Returns:** what the last layer gives, `(output, state)` if `state` was given.
        **Raises:** `ValueError` if a layer is stateful and `state` is missing.
        """
        if state is not None:
            return super().__call__(jnp.asarray(x), state, key=key)
        for index, layer in enumerate(self.layers):
            if isinstance(layer, eqx.nn.StatefulLayer) and layer.is_stateful():
                raise ValueError(
                    f"`state` (=None) is needed, as layers[{index}] ({type(layer).__name__}) is stateful: build with"
                    " eqx.nn.make_with_state and call model(x, state)."
                )
        return super().__call__(jnp.asarray(x), key=key)

    def __getitem__(self, i: int | slice) -> Any:
        return Sequential(self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def shapes(
        self,
        shape: tuple[int, ...],
        state: eqx.nn.State | None = None,
        *,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray | None = None,
    ) -> tuple[tuple[int, ...], ...]:
        """Traces the chain at no compute: the shape of the input and that behind every layer.

        **Arguments:** `shape`, `dtype`: of the input; `state`, `key`: as for a call.
        **Returns:** `len(layers) + 1` shapes.
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
                shapes.append(x.shape)

        try:
            eqx.filter_eval_shape(trace, jax.ShapeDtypeStruct(shape, dtype), state)
        except Exception as error:
            error.add_note(f"Shapes up to layers[{len(shapes) - 1}]: {' -> '.join(map(str, shapes))}.")
            raise
        return tuple(shapes)


def _check_joints(layers: Sequence[Callable[..., Any]]) -> None:
    before: tuple[str, tuple[Axis, ...]] | None = None
    for name, layer in _flattened(layers):
        annotations = _annotations(layer)
        if annotations is None:
            before = None
            continue
        taken, given = annotations
        bindings: dict[str, int] = {}
        if before is not None:
            fact = _first_misfit(before[1], read_axes(taken, {"self": layer}, {}), bindings)
            if fact:
                due = ", ".join(map(str, read_axes(taken, {"self": layer}, {})))
                came = ", ".join(map(str, before[1]))
                raise ContractError(f"{name} takes ({due}), but {before[0]} gives ({came}): {fact}.")
        before = (name, read_axes(given, {"self": layer}, bindings)) if given else None


def _flattened(layers: Sequence[Callable[..., Any]], prefix: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    for index, layer in enumerate(layers):
        path = f"{prefix}layers[{index}]"
        if isinstance(layer, eqx.nn.Sequential):
            yield from _flattened(layer.layers, path + ".")
        else:
            yield f"{path}: {callable_name('__call__', layer)}", layer


def _annotations(layer: Callable[..., Any]) -> tuple[str, str | None] | None:
    """The shape strings of what `layer` takes first and of what it gives, where it declares them."""
    called = type(layer).__call__ if isinstance(layer, eqx.Module) else layer
    try:
        signature = inspect.signature(called)
    except ValueError:
        return None
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    taken = array_annotations(parameters[0].annotation) if parameters else ()
    given = signature.return_annotation
    if typing.get_origin(given) is tuple:
        given = typing.get_args(given)[0]
    arrays = array_annotations(given)
    return (taken[0].dim_str, arrays[0].dim_str if arrays else None) if taken else None


def _first_misfit(given: tuple[Axis, ...], taken: tuple[Axis, ...], bindings: dict[str, int]) -> str | None:
    for place, (out, into) in enumerate(zip(reversed(given), reversed(taken), strict=False), start=1):
        if out.variadic or into.variadic:
            return None
        expected = into.size if into.size is not None else bindings.get(into.label)
        if isinstance(out.size, int):
            if expected is not None and out.size != expected:
                return difference(into.label, -place, out.size, expected)
            bindings.setdefault(into.label, out.size)
    if (len(given) < len(taken) and not taken[0].variadic) or len(given) > len(taken):
        return f"it has {len(given)} axes, {len(taken)} are due"
    return None
