"""From scalar networks to matrix-valued ones and back: the same functions in other layers."""

from matrinox.bridge.equinox_in import from_equinox
from matrinox.bridge.equinox_out import to_equinox
from matrinox.bridge.lifting import lift
from matrinox.bridge.matnets_params import from_matnets, to_matnets
from matrinox.bridge.twinning import ScalarTwin, Twins, scalar_twin, twins

__all__ = [
    "ScalarTwin",
    "Twins",
    "from_equinox",
    "from_matnets",
    "lift",
    "scalar_twin",
    "to_equinox",
    "to_matnets",
    "twins",
]
