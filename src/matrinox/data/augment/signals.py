"""Augmentation of signals: each is moved, stretched, tilted or made louder by a draw of its own."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen
from matrinox.io.config import check_config


@contract
def roll_signals(
    key: PRNGKeyArray, signals: Float[AnyArray, "*batch t"], *, places: int = 1
) -> Float[Array, "*batch t"]:
    """Moves each signal by a whole number of places, from −`places` to `places`; what leaves one end enters the other.

    **Arguments:** `key`; `signals`: `(*batch, t)`, each moved by a draw of its own; `places`: 0 or more.
    **Returns:** `(*batch, t)`.
    **Raises:** `ContractError` if `signals` has no axis; `ValueError` if `places` is negative.
    """
    _check_places(places)
    signals = jnp.asarray(signals)
    *batch, t = signals.shape
    moves = jax.random.randint(key, (*batch, 1), -places, places + 1)
    return jnp.take_along_axis(signals, (jnp.arange(t) - moves) % t, axis=-1)


@contract
def stretch_signals(
    key: PRNGKeyArray, signals: Float[AnyArray, "*batch t"], *, factor: float = 1.2
) -> Float[Array, "*batch t"]:
    """Stretches each signal about its middle, from 1 / `factor` times as long to `factor` times, even in the logarithm.

    Between places it is interpolated linearly, and beyond an end it goes on with that end's value.

    **Arguments:** `key`; `signals`: `(*batch, t)`, each stretched by a draw of its own; `factor`: 1 or more.
    **Returns:** `(*batch, t)`, of the dtype of `signals`.
    **Raises:** `ContractError` if `signals` has no axis; `ValueError` if `factor` is below 1 or not finite.
    """
    _check_factor(factor)
    signals = jnp.asarray(signals)
    *batch, t = signals.shape
    lengths = factor ** jax.random.uniform(key, (*batch, 1), minval=-1.0, maxval=1.0)
    middle = (t - 1) / 2
    places = jnp.clip(middle + (jnp.arange(t) - middle) / lengths, 0, t - 1)
    before = jnp.floor(places).astype(int)
    left, right = (
        widen(jnp.take_along_axis(signals, each, axis=-1)) for each in (before, jnp.minimum(before + 1, t - 1))
    )
    return (left + (places - before) * (right - left)).astype(signals.dtype)


@contract
def tilt_signals(
    key: PRNGKeyArray, signals: Float[AnyArray, "*batch t"], *, rise: float = 0.5
) -> Float[Array, "*batch t"]:
    """Adds a straight line to each signal, 0 in its middle, that rises by −`rise` to `rise` from end to end.

    **Arguments:** `key`; `signals`: `(*batch, t)`, each tilted by a draw of its own; `rise`: 0 or more.
    **Returns:** `(*batch, t)`, of the dtype of `signals`.
    **Raises:** `ContractError` if `signals` has no axis; `ValueError` if `rise` is negative or not finite.
    """
    _check_rise(rise)
    signals = jnp.asarray(signals)
    *batch, t = signals.shape
    rises = rise * jax.random.uniform(key, (*batch, 1), minval=-1.0, maxval=1.0)
    return signals + (rises * jnp.linspace(-0.5, 0.5, t)).astype(signals.dtype)


@contract
def scale_signals(
    key: PRNGKeyArray, signals: Float[AnyArray, "*batch t"], *, spread: float = 0.1
) -> Float[Array, "*batch t"]:
    """Multiplies each signal by a number from 1 − `spread` to 1 + `spread`.

    **Arguments:** `key`; `signals`: `(*batch, t)`, each with a draw of its own; `spread`: from 0 to below 1.
    **Returns:** `(*batch, t)`, of the dtype of `signals`.
    **Raises:** `ContractError` if `signals` has no axis; `ValueError` if `spread` is outside.
    """
    _check_spread(spread)
    signals = jnp.asarray(signals)
    gains = jax.random.uniform(key, (*signals.shape[:-1], 1), minval=1 - spread, maxval=1 + spread)
    return signals * gains.astype(signals.dtype)


@dataclass(frozen=True)
class Roll:
    """Signals moved in a circle, as `roll_signals` moves them.

    **Arguments:** `places`: 0 or more.
    **Raises:** `ValueError` if `places` is no integer or negative.
    """

    places: int = 1

    def __post_init__(self):
        check_config(self)
        _check_places(self.places)

    @contract
    def __call__(self, key: PRNGKeyArray, signals: Float[AnyArray, "*batch t"]) -> Float[Array, "*batch t"]:
        """Moves each signal.

        **Arguments:** `key`; `signals`: `(*batch, t)`.
        **Returns:** `(*batch, t)`.
        **Raises:** `ContractError` if `signals` has no axis.
        """
        return roll_signals(key, signals, places=self.places)


@dataclass(frozen=True)
class Stretch:
    """Signals made longer or shorter in time, as `stretch_signals` makes them.

    **Arguments:** `factor`: 1 or more.
    **Raises:** `ValueError` if `factor` is no number, below 1 or not finite.
    """

    factor: float = 1.2

    def __post_init__(self):
        check_config(self)
        _check_factor(self.factor)

    @contract
    def __call__(self, key: PRNGKeyArray, signals: Float[AnyArray, "*batch t"]) -> Float[Array, "*batch t"]:
        """Stretches each signal.

        **Arguments:** `key`; `signals`: `(*batch, t)`.
        **Returns:** `(*batch, t)`.
        **Raises:** `ContractError` if `signals` has no axis.
        """
        return stretch_signals(key, signals, factor=self.factor)


@dataclass(frozen=True)
class Tilt:
    """Signals with a straight line added, as `tilt_signals` adds it.

    **Arguments:** `rise`: 0 or more.
    **Raises:** `ValueError` if `rise` is no number, negative or not finite.
    """

    rise: float = 0.5

    def __post_init__(self):
        check_config(self)
        _check_rise(self.rise)

    @contract
    def __call__(self, key: PRNGKeyArray, signals: Float[AnyArray, "*batch t"]) -> Float[Array, "*batch t"]:
        """Tilts each signal.

        **Arguments:** `key`; `signals`: `(*batch, t)`.
        **Returns:** `(*batch, t)`.
        **Raises:** `ContractError` if `signals` has no axis.
        """
        return tilt_signals(key, signals, rise=self.rise)


@dataclass(frozen=True)
class Gain:
    """Signals made louder or quieter, as `scale_signals` makes them.

    **Arguments:** `spread`: from 0 to below 1.
    **Raises:** `ValueError` if `spread` is no number or outside.
    """

    spread: float = 0.1

    def __post_init__(self):
        check_config(self)
        _check_spread(self.spread)

    @contract
    def __call__(self, key: PRNGKeyArray, signals: Float[AnyArray, "*batch t"]) -> Float[Array, "*batch t"]:
        """Multiplies each signal.

        **Arguments:** `key`; `signals`: `(*batch, t)`.
        **Returns:** `(*batch, t)`.
        **Raises:** `ContractError` if `signals` has no axis.
        """
        return scale_signals(key, signals, spread=self.spread)


def _check_places(places: int) -> None:
    if places < 0:
        raise ValueError(f"`places` (={places}) must be 0 or more: use 0 for no move.")


def _check_factor(factor: float) -> None:
    if not 1 <= factor < float("inf"):
        raise ValueError(f"`factor` (={factor}) must be 1 or more, and finite: 1.2 is a fifth longer at most.")


def _check_rise(rise: float) -> None:
    if not 0 <= rise < float("inf"):
        raise ValueError(f"`rise` (={rise}) must be 0 or more, and finite: 0.5 is common for signals of about 1.")


def _check_spread(spread: float) -> None:
    if not 0 <= spread < 1:
        raise ValueError(f"`spread` (={spread}) must be from 0 to below 1: 0.1 is a tenth louder at most.")
