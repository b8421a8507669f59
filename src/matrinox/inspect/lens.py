"""`lens`: the matrices of a model, one by one, by their spectra and what follows from these."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

import equinox as eqx
from jaxtyping import PRNGKeyArray, PyTree
from rich.console import Console, Group

from matrinox.contract import contract
from matrinox.contract.nearest import nearest
from matrinox.inspect.lens_activations import Activations, activations_of
from matrinox.inspect.lens_figure import lens_figure
from matrinox.inspect.lens_flags import Flag, flags_of
from matrinox.inspect.lens_table import as_html, as_rich, as_text
from matrinox.inspect.lens_weights import weights_of
from matrinox.inspect.measured import Measured
from matrinox.paths import matches


@dataclass(frozen=True, eq=False, repr=False)
class Lens(Mapping[str, Measured]):
    """The matrices of a model by path, weights and then activations; prints as a table. What `lens` gives.

    `lens["layers[0].weight"].determinant` is an array over the weight's leading axes; beside it there are
    `eigenvalues`, `singular_values`, `spectral_norm`, `condition_number`, `symmetry`, `distance_from_orthogonal` and
    `column_correlation`, as `matrinox.inspect.measures` defines them. Each is computed when it is first asked for, in
    float64 on the host.

    **Arguments:** `weights`: by path in the model; `activations`: what each layer gave, by the path of the layer and in
    order of execution; `gated`: what came to each layer that gates by a determinant.
    """

    weights: Mapping[str, Measured]
    activations: Mapping[str, Measured]
    gated: Mapping[str, Measured]

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """What deserves a look: dead and open det-gates, identical columns, zero determinants, what is not finite."""
        return flags_of(self.weights, self.activations, self.gated)

    def figure(self, where: str = "**") -> Any:
        """The spectra in the complex plane, and histograms of determinants, condition numbers and the other measures.

        **Arguments:** `where`: a pattern of the paths to show, a row each; the figure grows with them.
        **Returns:** a `matplotlib.figure.Figure`: `figure.savefig("lens.png")`.
        **Raises:** `ImportError` without matplotlib, of the extra `viz`; `ValueError` if no path matches.
        """
        chosen = {path: measured for path, measured in self.items() if matches(path, where)}
        if not chosen:
            raise ValueError(
                f"`where` (={where!r}) matches none of {len(self)} paths: the nearest is '{nearest(where, self)}'."
            )
        return lens_figure(chosen)

    def show(self, file: IO[str] | None = None) -> None:
        """Prints the table: with colours in a terminal, as plain text elsewhere.

        **Arguments:** `file`: standard output where `None`.
        """
        console = Console(file=file or sys.stdout)
        if console.is_terminal:
            console.print(self)
        else:
            print(self, file=file)

    def __getitem__(self, path: str) -> Measured:
        for part in (self.weights, self.activations):
            if path in part:
                return part[path]
        raise KeyError(f"{path!r} is none of {len(self)} paths: the nearest is {nearest(path, self)!r}.")

    def __iter__(self) -> Iterator[str]:
        yield from self.weights
        yield from (path for path in self.activations if path not in self.weights)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def _parts(self) -> dict[str, Mapping[str, Measured]]:
        parts = {"weights": self.weights, "activations": self.activations}
        return {title: part for title, part in parts.items() if part}

    def __str__(self) -> str:
        return as_text(self._parts, self.flags)

    __repr__ = __str__

    def __rich__(self) -> Group:
        return as_rich(self._parts, self.flags)

    def _repr_html_(self) -> str:
        return as_html(self._parts, self.flags)


@contract
def lens(
    model: PyTree,
    where: str = "**",
    x: PyTree = None,
    *,
    key: PRNGKeyArray | None = None,
    state: eqx.nn.State | None = None,
) -> Lens:
    """Measures every matrix of a model: spectrum, determinant, condition, symmetry and more; flags what looks wrong.

    The weights are those of matrix neurons, dense `(q, p, n, n)`, of convolutions `(q, p, *kernel, n, n)`, of cells,
    bilinear layers and tables; of a model whose weights are computed (`Tied`, `Constrained`, a LoRA) they are those
    that it is called with. With an example, what each layer gives on it is measured as well, and so is what comes to
    the layers that gate by a determinant (`ReLUd`, `LeakyReLUd`, `ELUPowered`). Calls in `jax.lax.cond` and
    `jax.lax.while_loop` are not seen. Nothing of the model is changed.

    Which leaves are weights is told by the annotations of the layers' fields. In a module of your own, an array without
    a jaxtyping annotation counts if it has three axes or more, the last two equal.

    **Arguments:** `model`: any pytree, and what can be called where there is an `x`; `where`: a path pattern, as
    `matrinox.find` takes it, of the weights, such as `"encoder.**"`, and of the layers whose activations to keep;
    biases and scales of matrix neurons are taken where the last step of the pattern names them, as in `"**.bias"`;
    `x`: an example, which the model is called with once, such as a batch `(*batch, p, n, n)`; the more matrices there
    are of each neuron, the surer are the flags of activations; `key`, `state`: handed to the model where not `None`.
    **Returns:** `Lens`: arrays by path, a table to print, `lens.figure()` and `lens.flags`.
    **Raises:** `ValueError` if the pattern is malformed or matches no such weight and no such layer; what the model
    raises on the example.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox import nn
    >>> layer = nn.Dense(p=2, q=3, n=4, key=jax.random.key(0))
    >>> lens(layer)["weight"].determinant.shape
    (3, 2)
    >>> tiled = nn.Sequential([nn.Tile(4), layer])
    >>> [flag.kind for flag in lens(tiled, x=jnp.ones((8, 2))).flags]
    ['identical columns', 'identical columns']
    """
    options = {name: value for name, value in (("key", key), ("state", state)) if value is not None}
    seen = Activations({}, {}) if x is None else activations_of(model, x, options)
    given = {path: measured for path, measured in seen.given.items() if matches(path, where)}
    gated = {path: measured for path, measured in seen.gated.items() if matches(path, where)}
    weights = weights_of(model, where, may_be_none=bool(given or gated))
    return Lens(weights, given, gated)
