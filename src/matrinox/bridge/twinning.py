"""`twins`: the scalar networks that a model of matrix neurons is to be compared with."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from matrinox import nn
from matrinox.bridge.chain import chain_of, input_dtype
from matrinox.bridge.twin_plan import Plan, Step, each_of, plan_of
from matrinox.contract import contract
from matrinox.inspect.flops import count_flops

_SEARCH_STEPS = 24
_NOTES = {
    "inputs": "Inputs of the twins are widened too: no encoder sets them.",
    "outputs": "Outputs of the twins are widened too, as the last of the hidden widths: no read-out sets them.",
}
TwinKind = Literal["parameters", "flops", "state"]
"""What a scalar network has in common with one of matrices: as many parameters, operations, or numbers in between."""

_Count = Callable[[nn.Sequential, tuple[int, ...]], int]


@dataclass(frozen=True, eq=False)
class ScalarTwin:
    """A network, and what it costs.

    **Arguments:** `model`: the network, a Sequential of n = 1 for a twin; `widths`: neurons that its hidden layers
    give, and its last one too where no read-out ends the chain; `parameters`: how many numbers it learns; `flops`:
    floating-point operations of one example, forward, as `matrinox.inspect.check` counts them; `state`: numbers behind
    these layers, for one example.
    """

    model: Any
    widths: tuple[int, ...]
    parameters: int
    flops: int
    state: int


@dataclass(frozen=True, eq=False, repr=False)
class Twins:
    """A model of matrix neurons and its scalar twins, which `print` shows in a table, each with its ratios to it.

    **Arguments:** `model`: the one that was given; `same_parameters`, `same_flops`, `same_state`: its twins; `shape`:
    of what is counted as one example; `widened`: which of `"inputs"` and `"outputs"` are wider in the twins too, as no
    encoder or read-out sets them.
    """

    model: ScalarTwin
    same_parameters: ScalarTwin
    same_flops: ScalarTwin
    same_state: ScalarTwin
    shape: tuple[int, ...]
    widened: tuple[str, ...]

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("network", "hidden widths", "parameters", "FLOPs per example", "state")]
        for name in ("model", "same_parameters", "same_flops", "same_state"):
            twin = getattr(self, name)
            widths = " ".join(map(str, twin.widths))
            counts = (self._ratio(twin, of) for of in ("parameters", "flops", "state"))
            rows.append((name.replace("_", " "), widths, *counts))
        columns = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if place < 2 else cell.rjust(width) for place, (cell, width) in enumerate(cells)
            )
            for cells in (tuple(zip(row, columns, strict=True)) for row in rows)
        ]
        return "\n".join([*lines, f"One example is all of {self.shape}.", *map(_NOTES.__getitem__, self.widened)])

    __repr__ = __str__

    def _ratio(self, twin: ScalarTwin, of: str) -> str:
        ours, theirs = getattr(self.model, of), getattr(twin, of)
        return f"{theirs:,}" + (f" ({theirs / ours:.3f})" if twin is not self.model and ours else "")


@contract
def twins(model: Any, shape: tuple[int, ...] | None = None, *, key: PRNGKeyArray) -> Twins:
    """The three scalar networks that a model of matrix neurons must be compared with, and what each costs.

    They are the model's chain of layers at n = 1, with other widths: with the same parameters (p neurons of n×n
    matrices become about p·n numbers, at 1/n of the operations), with the same operations (√n as wide as that), and
    with the same state (p·n² numbers). All hidden layers are widened by the same factor; where an encoder or a read-out
    ends the chain, what it takes and gives is the task's and stays, elsewhere it is widened too, as the table says; and
    the factor is the one under which the totals come closest. Widths are whole numbers, so the table gives the ratios
    that were reached.

    Scalar networks are those of n = 1 here, not of another library: layers, training and counts are then the same, and
    nothing differs but n. An encoder's patches are given to them as numbers. They start from weights of the gain that
    the model's have. The twin of a `MatrixScan` is the diagonal recurrence `h_t = a(x_t) h_{t−1} + u(x_t)`, with |a| at
    most 1 where its transitions are orthogonal: an orthogonal number is 1 or −1, and learns nothing.

    **Arguments:** `model`: a Sequential of dense, convolutional and recurrent layers, an Embedding, norms, pools, sums
    of such and what else has no weights, with or without encoder and read-out; or a model that calls such a Sequential,
    its `layers` or `chain` as the models of the zoo have it, and does no more; `shape`: of one example, with no batch
    axes, the model's `input_shape` where `None`; `key`: for their weights.
    **Returns:** a frozen record, whose `same_parameters`, `same_flops` and `same_state` each hold a `model` and its
    `widths`, `parameters`, `flops` and `state`.
    **Raises:** `ValueError`, naming every layer that has no scalar twin, by path and type; for a missing `shape`; and
    for a chain without a hidden layer, whose width could be chosen.

    >>> import jax
    >>> layers = [nn.Fold(2), nn.MLP(p=4, q=3, n=2, hidden=(8, 8), key=jax.random.key(0)), nn.Trace()]
    >>> found = twins(nn.Sequential(layers), (16,), key=jax.random.key(1))
    >>> [(twin.widths, twin.parameters) for twin in (found.model, found.same_parameters, found.same_state)]
    [((8, 8), 556), ((15, 15), 543), ((32, 32), 1699)]
    """
    search = _search(model, shape, key)
    same = {f"same_{kind}": search.twin_of(kind) for kind in get_args(TwinKind)}
    return Twins(search.own(model), **same, shape=search.example, widened=search.plan.widened)


@contract
def scalar_twin(model: Any, kind: TwinKind, shape: tuple[int, ...] | None = None, *, key: PRNGKeyArray) -> ScalarTwin:
    """One of the `twins` of a model, without the others.

    **Arguments:** `model`, `shape`, `key`: as for `twins`; `kind`: what the two have in common.
    **Returns:** the twin, and what it costs.
    **Raises:** as `twins`.

    >>> import jax
    >>> model = nn.Sequential([nn.Fold(2), nn.MLP(p=4, q=3, n=2, hidden=(8, 8), key=jax.random.key(0)), nn.Trace()])
    >>> scalar_twin(model, "parameters", (16,), key=jax.random.key(1)).widths
    (15, 15)
    """
    return _search(model, shape, key).twin_of(kind)


def _search(model: Any, shape: tuple[int, ...] | None, key: PRNGKeyArray) -> "_Search":
    _, chain = ("", model) if isinstance(model, nn.Sequential) else chain_of(model) or ("", None)
    if chain is None:
        is_theirs = type(model).__module__.startswith("equinox.")
        remedy = (
            "it is one of Equinox, so take it over with `from_equinox` first"
            if is_theirs
            else "give the Sequential that it holds"
        )
        raise ValueError(
            f"`model` (={type(model).__name__}) must be a Sequential, or a model that calls its `layers` or `chain`, "
            f"such a one, and does no more: {remedy}."
        )
    known = getattr(model, "input_shape", None)
    example = known if shape is None else shape
    if example is None:
        raise ValueError("`shape` (=None) must be given, as the model has no `input_shape`: that of one example.")
    if known is not None and len(example) > len(known):
        raise ValueError(f"`shape` (={example}) must be of one example, as {known} is: leave out the batch axes.")
    plan = plan_of(chain, tuple(example), _shapes)
    if not plan.chosen(plan.own) and plan.start.fixed is not None:
        raise ValueError("`model` has no hidden layer, whose width could be chosen: compare it as it is.")
    return _Search(plan, tuple(example), key)


class _Search:
    """Builds twins of a plan, and looks for the widths of one."""

    def __init__(self, plan: Plan, example: tuple[int, ...], key: PRNGKeyArray):
        self.plan = plan
        self.flat = nn.Sequential([step.layer for step in plan.steps])
        self.example = example
        self.key = key
        self.known: dict[Any, int] = {}

    def own(self, model: Any) -> ScalarTwin:
        """The model itself, and what it costs."""
        counts = _parameters(self.flat, self.example), _flops(self.flat, self.example)
        return ScalarTwin(
            model, self.plan.chosen(self.plan.own), *counts, _state(self.plan.steps, self.flat, self.example)
        )

    def twin_of(self, kind: TwinKind) -> ScalarTwin:
        """The twin that has this in common with the model."""
        if kind == "state":
            return self.twin(self.plan.widths(self.plan.n**2))
        of, guess = (_parameters, self.plan.n) if kind == "parameters" else (_flops, self.plan.n**1.5)
        return self.nearest(of, of(self.flat, self.example), guess)

    def shape(self, widths: tuple[int, ...]) -> tuple[int, ...]:
        """Of one example: the task's, or as many neurons as flow in."""
        return self.example if self.plan.start.fixed is not None else (*self.example[:-3], widths[0], 1, 1)

    def count(self, of: _Count, widths: tuple[int, ...]) -> int:
        """One count of the twin of these widths."""
        if (of, widths) not in self.known:
            self.known[of, widths] = of(self._built(eqx.filter_eval_shape, widths), self.shape(widths))
        return self.known[of, widths]

    def _built(self, under: Callable[..., Any], widths: tuple[int, ...]) -> nn.Sequential:
        # A state is made of values, outside of any trace.
        stateful = any(isinstance(step.layer, eqx.nn.StatefulLayer) for step in each_of(self.plan.steps))
        return self.plan.build(widths, self.key) if stateful else under(self.plan.build, widths, self.key)

    def twin(self, widths: tuple[int, ...]) -> ScalarTwin:
        """The twin of these widths, with weights."""
        # One program for all weights, where each would compile one by itself.
        model = self._built(lambda build, *args: eqx.filter_jit(build)(*args), widths)
        shape = self.shape(widths)
        counts = self.count(_parameters, widths), self.count(_flops, widths)
        return ScalarTwin(model, self.plan.chosen(widths), *counts, _state(self.plan.steps, model, shape))

    def nearest(self, of: _Count, wanted: int, guess: float) -> ScalarTwin:
        """The twin whose count is nearest to the one that is wanted: it grows with the widths."""
        low, high = 0.0, guess
        while self.count(of, self.plan.widths(high)) < wanted:
            low, high = high, 2 * high
        for _ in range(_SEARCH_STEPS):
            if self.plan.widths(low) == self.plan.widths(high):
                break
            middle = (low + high) / 2
            low, high = (middle, high) if self.count(of, self.plan.widths(middle)) < wanted else (low, middle)
        ends = self.plan.widths(low), self.plan.widths(high)
        # What only looks up rows has no operations.
        return self.twin(min(ends, key=lambda widths: abs(math.log(max(self.count(of, widths), 1) / max(wanted, 1)))))


def _shapes(chain: nn.Sequential, shape: tuple[int, ...]) -> Any:
    chain = eqx.nn.inference_mode(chain)
    state = eqx.nn.State(chain) if chain.is_stateful() else None
    return chain.shapes(shape, state, dtype=input_dtype(chain))


def _parameters(chain: nn.Sequential, shape: tuple[int, ...]) -> int:
    """Numbers that are learned: all floats but those of a state."""
    leaves = jax.tree.leaves(chain, is_leaf=lambda node: isinstance(node, eqx.nn.StateIndex))
    return sum(leaf.size for leaf in leaves if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.inexact))


def _flops(chain: nn.Sequential, shape: tuple[int, ...]) -> int:
    """Floating-point operations of one example, forward."""
    chain = eqx.nn.inference_mode(chain)
    state = eqx.nn.State(chain) if chain.is_stateful() else None
    x = jax.ShapeDtypeStruct(shape, input_dtype(chain))
    program, _, _ = eqx.filter_make_jaxpr(lambda chain, x, state: chain(x, state))(chain, x, state)
    return count_flops(program)


def _state(steps: Sequence[Step], chain: nn.Sequential, shape: tuple[int, ...]) -> int:
    """Numbers behind the hidden layers."""
    sizes, count = _shapes(chain, shape), 0
    for step, layer, taken, given in zip(steps, chain.layers, sizes[:-1], sizes[1:], strict=True):
        if step.parts:
            summands = layer.children().values()
            count += sum(_state(part, child, taken) for part, child in zip(step.parts, summands, strict=True))
        elif step.neurons is not None and step.fixed is None:
            count += math.prod(given)
    return count
