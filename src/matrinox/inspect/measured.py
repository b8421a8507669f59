"""The matrices of a weight or an activation with all their measures, each computed once."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from matrinox.inspect.measures import (
    column_correlation,
    condition_of,
    determinant,
    eigenvalues,
    has_equal_columns,
    is_singular_of,
    orthogonal_distance_of,
    singular_values,
    symmetry,
)


@dataclass(frozen=True, eq=False, repr=False)
class Measured:
    """The matrices of one weight or activation `(*batch, n, n)`, with every measure of them, computed when asked for.

    **Arguments:** `path`: of the weight, or of the layer that gave the activation; `values`: in their own dtype.
    """

    SCALARS: ClassVar[tuple[str, ...]] = (
        *("spectral_norm", "determinant", "condition_number", "symmetry", "distance_from_orthogonal"),
        "column_correlation",
    )
    """The measures that are one number for each matrix."""

    path: str
    values: np.ndarray

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """`measures.eigenvalues`, `(*batch, n)`."""
        return eigenvalues(self._wide)

    @cached_property
    def singular_values(self) -> np.ndarray:
        """`measures.singular_values`, `(*batch, n)`."""
        return singular_values(self._wide)

    @property
    def spectral_norm(self) -> np.ndarray:
        """`measures.spectral_norm`, `(*batch)`."""
        return self.singular_values[..., 0]

    @cached_property
    def determinant(self) -> np.ndarray:
        """`measures.determinant`, `(*batch)`."""
        return determinant(self._wide)

    @property
    def condition_number(self) -> np.ndarray:
        """`measures.condition_number`, `(*batch)`."""
        return condition_of(self.singular_values)

    @cached_property
    def symmetry(self) -> np.ndarray:
        """`measures.symmetry`, `(*batch)`."""
        return symmetry(self._wide)

    @property
    def distance_from_orthogonal(self) -> np.ndarray:
        """`measures.distance_from_orthogonal`, `(*batch)`."""
        return orthogonal_distance_of(self.singular_values)

    @cached_property
    def column_correlation(self) -> np.ndarray:
        """`measures.column_correlation`, `(*batch)`."""
        return column_correlation(self._wide)

    @cached_property
    def has_equal_columns(self) -> np.ndarray:
        """`measures.has_equal_columns`, `(*batch)`, up to rounding in the dtype of the values, at most float32's."""
        return has_equal_columns(self._wide, rtol=self._rounding)

    @property
    def is_singular(self) -> np.ndarray:
        """`measures.is_singular`, `(*batch)`, up to rounding in the dtype of the values, at most float32's."""
        return is_singular_of(self.singular_values, self._rounding)

    @property
    def n(self) -> int:
        """Side of the matrices."""
        return self.values.shape[-1]

    def range(self, measure: str) -> tuple[float, float, float]:
        """The least, the median and the largest value of a measure over all matrices, those that are NaN left out.

        **Arguments:** `measure`: one of `Measured.SCALARS`.
        **Returns:** three numbers, NaN if every matrix is.
        """
        values = getattr(self, measure)
        values = values[~np.isnan(values)]
        if not values.size:
            return np.nan, np.nan, np.nan
        return float(values.min()), float(np.median(values)), float(values.max())

    @property
    def _wide(self) -> np.ndarray:
        return self.values.astype(np.float64)

    @property
    def _rounding(self) -> float:
        # Narrower numbers are stored as they are, but summed in float32.
        return 4 * self.n * min(float(jnp.finfo(self.values.dtype).eps), float(np.finfo(np.float32).eps))

    def __repr__(self) -> str:
        return f"Measured({self.path!r}, {self.values.dtype}[{', '.join(map(str, self.values.shape))}])"
