"""How a layer that holds others calls them: each with the state and the key that it takes, and no more."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

Layer = Callable[..., Any]


def is_stateful(layer: Layer) -> bool:
    """Whether the layer is called as `layer(x, state) -> (y, state)`."""
    return isinstance(layer, eqx.nn.StatefulLayer) and layer.is_stateful()


def takes_key(layer: Layer) -> bool:
    """Whether the layer can be called with the keyword `key`."""
    return takes(layer, "key") or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in _parameters(layer).values())


def takes_state(layer: Layer) -> bool:
    """Whether the layer can be called as `layer(x, state)`; `True` where nothing tells."""
    if not (parameters := _parameters(layer)):
        return True
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    positional = [p.name for p in parameters.values() if p.kind in kinds]
    is_open = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters.values())
    return is_open or positional[1:2] not in ([], ["key"])


def takes(layer: Layer, name: str) -> bool:
    """Whether the layer has a parameter of this name."""
    return name in _parameters(layer)


def _parameters(layer: Layer) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(layer).parameters
    except (TypeError, ValueError):
        # Some built-in functions have no signature to read.
        return {}


def split_key(key: PRNGKeyArray | None, count: int) -> list[Any]:
    """A key for each of `count` layers, as `eqx.nn.Sequential` splits it; `None` for each without one."""
    return [None] * count if key is None else list(jax.random.split(key, count))


def call_child(
    layer: Layer, x: Any, state: eqx.nn.State | None, key: PRNGKeyArray | None
) -> tuple[Any, eqx.nn.State | None]:
    """What the layer gives, and the state behind it: only a stateful layer is handed the state and changes it."""
    options = {"key": key} if takes_key(layer) else {}
    if is_stateful(layer):
        return layer(x, state=state, **options)
    return layer(x, **options), state


def call_children(
    children: Mapping[str, Layer], inputs: Sequence[Any], state: eqx.nn.State | None, key: PRNGKeyArray | None
) -> tuple[list[Any], eqx.nn.State | None]:
    """What each layer gives of its own input, and the state behind all of them; the key is split over them.

    **Raises:** `ValueError` if a layer is stateful and `state` is missing.
    """
    require_state(children, state)
    outputs = []
    for child, x, child_key in zip(children.values(), inputs, split_key(key, len(children)), strict=True):
        y, state = call_child(child, x, state, child_key)
        outputs.append(y)
    return outputs, state


def require_callable(children: Mapping[str, Any]) -> None:
    """Refuses what is no layer and no function, such as the class of a layer, by its name.

    **Raises:** `TypeError`.
    """
    for name, child in children.items():
        require_built(name, child)
        if not callable(child):
            raise TypeError(f"`{name}` (={child!r}) must be callable: give a layer or a function.")


def require_built(name: str, layer: Any) -> None:
    """Refuses a class of modules where one of them is due.

    **Raises:** `TypeError`.
    """
    if isinstance(layer, type) and issubclass(layer, eqx.Module):
        raise TypeError(f"`{name}` (={layer.__name__}) must not be a class: build a layer, as {layer.__name__}(…).")


def require_state(children: Mapping[str, Layer], state: eqx.nn.State | None) -> None:
    """Refuses a call without the state that one of the layers needs.

    **Raises:** `ValueError`, naming the first of them.
    """
    for name, child in children.items():
        if state is None and is_stateful(child):
            raise ValueError(
                f"`state` (=None) is needed, as {name} ({type(child).__name__}) is stateful: build with"
                " eqx.nn.make_with_state and call model(x, state)."
            )
