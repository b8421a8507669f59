"""`Lazy`, a layer some of whose sizes its first input tells."""

import inspect
import sys
from typing import Any

import equinox as eqx

from matrinox.contract import contract
from matrinox.contract.checked import refusal_of
from matrinox.contract.nearest import nearest
from matrinox.nn.lazy_sizes import missing_options, options_of, sizes_told


@contract
class Lazy(eqx.Module):
    """Stands in a model for a layer some of whose sizes the first input will tell: `materialize` puts the layer there.

    A size is found where the annotations of the layer's `__call__` name it, as `"*batch {self.p} {self.n} {self.n}"`
    names `p` and `n`: any module that is annotated so can be lazy, your own too. A lazy layer among the options gets
    the sizes that these annotations name, as in `Lazy(Recurrent, cell=Lazy(GRUCell, q=3))`.

    **Arguments:** `layer_class`: the class of the layer, such as `Dense`; `options`: what to build it with, by name,
    all but the sizes to be found, and the key, which `materialize` gives.
    **Raises:** `ValueError` for an option that the class does not have, with the nearest name, and for a missing one
    that no input tells.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox import nn
    >>> model = nn.Sequential([nn.Lazy(nn.Dense, q=3), nn.ReLU(), nn.Lazy(nn.Dense, q=5)])
    >>> model, found = nn.materialize(model, jnp.ones((32, 2, 4, 4)), key=jax.random.key(0))
    >>> print(found)
    path       layer                 found     input          output
    layers[0]  Dense(p=2, q=3, n=4)  p=2, n=4  (32, 2, 4, 4)  (32, 3, 4, 4)
    layers[2]  Dense(p=3, q=5, n=4)  p=3, n=4  (32, 3, 4, 4)  (32, 5, 4, 4)
    """

    layer_class: type[eqx.Module] = eqx.field(static=True)
    options: dict[str, Any]

    def __init__(self, layer_class: type[eqx.Module], /, **options: Any):
        _check_options(layer_class, options)
        self.layer_class = layer_class
        self.options = options

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuses: there is no layer yet.

        **Arguments:** `args`, `kwargs`: as the layer will take them.
        **Returns:** nothing.
        **Raises:** `ContractError`, always.
        """
        raise refusal_of(
            f"{name_of(self)} is no layer yet: fill the model with `model, found = nn.materialize(model, x, key=key)`.",
            sys._getframe(1),
            self,
        )


def open_sizes(lazy: Lazy) -> tuple[str, ...]:
    """The sizes that an input is to tell, those of a lazy option among them."""
    told = sizes_told(lazy.layer_class, lazy.options)
    inner = [name for option in lazy.options.values() if isinstance(option, Lazy) for name in open_sizes(option)]
    own = missing_options(lazy.layer_class, lazy.options)
    return tuple(dict.fromkeys((*own, *(name for name in inner if name in told))))


def name_of(lazy: Lazy) -> str:
    """What a message calls it: `Lazy(Dense, q=3)`."""
    plain = (f", {name}={value!r}" for name, value in lazy.options.items() if isinstance(value, int | str | tuple))
    return f"Lazy({lazy.layer_class.__name__}{''.join(plain)})"


def _check_options(layer_class: type, options: dict[str, Any]) -> None:
    known = options_of(layer_class)
    if "key" in options:
        raise ValueError("`key` of a Lazy must be left out: `materialize` gives each layer its own.")
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values())
    for name, value in options.items():
        if name not in known and not takes_any:
            remedy = f"did you mean {nearest(name, known)!r}?" if known else "it takes none."
            raise ValueError(f"`{name}` (={value!r}) must be an option of {layer_class.__name__}: {remedy}")
    missing, told = missing_options(layer_class, options), sizes_told(layer_class, options)
    for name in missing:
        if name not in told:
            tells = f"tell {' and '.join(told)} alone" if told else f"name no size, such as {{self.{name}}}"
            raise ValueError(
                f"`{name}` of {layer_class.__name__} must be given, as no input tells it: the annotations of its "
                f"`__call__` {tells}."
            )
