"""What every architecture of the zoo is: a body that makes features, and a head that reads them."""

import abc
import dataclasses
from typing import Any

import equinox as eqx
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray, PyTree, Shaped

from matrinox import nn
from matrinox.contract import AnyArray, contract
from matrinox.data.examples import Examples
from matrinox.nn.child import call_child, split_key


@contract
class Architecture(eqx.Module):
    """A model of the zoo: `head(body(x))`, built from its config and a key.

    A family has its own `__init__(config, *, key)`, `input_shape`, and `__call__` with the shapes that it takes. Its
    config is a frozen dataclass with a field `classes`: how many numbers come out of an example, or of each token.
    """

    body: nn.Sequential
    head: nn.Sequential
    config: Any = eqx.field(static=True)

    @abc.abstractmethod
    def __init__(self, config: Any, *, key: PRNGKeyArray):
        """The model of that config, its initial weights drawn by name from the key."""

    @property
    @abc.abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input."""

    @property
    def values(self) -> int | str:
        """The axes of one input of floats, as a contract has them: of tokens, how much of each id each is."""
        if (vocabulary := getattr(self.config, "vocabulary", None)) is not None:
            return f"t vocabulary={vocabulary}"
        shape = self.input_shape
        return shape[0] if len(shape) == 1 else " ".join(map(str, shape))

    @property
    def axes(self) -> int | str:
        """The axes of one input; of tokens any, of which the embedding is the judge."""
        # The space says to the contract that this is an axis, and no name of a size.
        return "t " if getattr(self.config, "vocabulary", None) is not None else self.values

    @property
    def chain(self) -> nn.Sequential:
        """All layers in a row."""
        return nn.Sequential([*self.body.layers, *self.head.layers])

    def _logits(self, x: AnyArray, key: PRNGKeyArray | None) -> Array:
        """What a call gives, which checks `x` by the family's own axes."""
        body_key, head_key = split_key(key, 2)
        return self.head(self.body(x, key=body_key), key=head_key)

    def features(
        self, x: Shaped[AnyArray, "*batch {self.axes}"], *, key: PRNGKeyArray | None = None
    ) -> Shaped[Array, "..."]:
        """The matrices that the head reads.

        **Arguments:** as for a call.
        **Returns:** neurons, `(*batch, …, p, n, n)`.
        **Raises:** `ContractError` if `x` has other sizes than the config, or is not what the first layer takes.
        """
        return self.body(x, key=split_key(key, 2)[0])

    def forward_intermediates(
        self, x: Shaped[AnyArray, "*batch {self.axes}"], *, key: PRNGKeyArray | None = None
    ) -> dict[str, Array]:
        """What every layer gives, by its path: `"body.layers[0]"` … `"head.layers[0]"` …, the last being the logits.

        **Arguments:** as for a call.
        **Raises:** as for `features`.
        """
        given = {}
        for part, part_key in zip(("body", "head"), split_key(key, 2), strict=True):
            layers = getattr(self, part).layers
            for index, (layer, layer_key) in enumerate(zip(layers, split_key(part_key, len(layers)), strict=True)):
                x, _ = call_child(layer, x, None, layer_key)
                given[f"{part}.layers[{index}]"] = x
        return given

    def initial_cache(
        self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
    ) -> tuple[PyTree, ...]:
        """What a model of sequences keeps of one that is taken by `step`, before its first token.

        **Arguments:** `length`: how many tokens there is room for; `batch_shape`: their leading axes; `dtype`: of what
        is kept, where `None` that of the weights, and of a recurrent state at least float32.
        **Returns:** one for each layer.
        **Raises:** `TypeError`, with its path, for a layer that cannot step, as of a model of images; `ValueError` for
        a `length` below 1, or beyond the positions of a layer.
        """
        return self.chain.initial_cache(length, batch_shape, dtype)

    def step(
        self, cache: tuple[PyTree, ...], x: Shaped[AnyArray, "..."], *, key: PRNGKeyArray | None = None
    ) -> tuple[tuple[PyTree, ...], Shaped[Array, "..."]]:
        """The next tokens of a sequence, one or more: portion by portion, this gives what a call gives for the whole.

        **Arguments:** `cache`: as `initial_cache` gives it, or the step before; `x`: the tokens, `(*batch, t)`; `key`:
        for dropout, while training.
        **Returns:** `(cache, logits)`.
        **Raises:** as `initial_cache`; `ContractError` for another cache, or what the first layer does not take.
        """
        return self.chain.step(cache, x, key=key)

    def fitted(self, train: Examples) -> "Architecture":
        """The model with what it takes of the train part before it is trained, such as means: by default itself.

        **Arguments:** `train`: the train part.
        """
        del train
        return self

    def reset_head(self, classes: int, *, key: PRNGKeyArray) -> "Architecture":
        """The same body with an untrained head for so many classes.

        **Arguments:** `classes`: of the new task; `key`: for the head's initial weights.
        **Returns:** the model, its config changed alike.
        **Raises:** `ValueError` for fewer than one class, or more than the config takes.
        """
        fresh = type(self)(dataclasses.replace(self.config, classes=classes), key=key)
        return eqx.tree_at(lambda model: model.body, fresh, self.body)
