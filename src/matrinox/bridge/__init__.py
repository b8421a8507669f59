"""From scalar networks to matrix-valued ones and back: the same functions in other layers."""

from matrinox.bridge.equinox_in import from_equinox
from matrinox.bridge.equinox_out import to_equinox

__all__ = ["from_equinox", "to_equinox"]
