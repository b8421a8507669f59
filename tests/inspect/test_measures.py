"""Measures of matrices: by hand, against NumPy one matrix at a time, and at the edges."""

import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.inspect import measures
from matrinox.inspect.measured import Measured

RANDOM = np.random.default_rng(0)
MATRICES = RANDOM.normal(size=(3, 2, 3, 3))
ROTATION = np.array([[0.0, -1.0], [1.0, 0.0]])
EVERY = [getattr(measures, name) for name in ("eigenvalues", "singular_values", *Measured.SCALARS)]


def one_by_one(measure, matrices=MATRICES):
    """A measure of each matrix by itself, `measure` being written with other means than ours."""
    return np.array([[measure(matrix) for matrix in row] for row in matrices])


def test_the_spectrum_is_the_roots_of_the_characteristic_polynomial():
    ours = measures.eigenvalues(MATRICES)
    assert ours.shape == (3, 2, 3)
    roots = one_by_one(lambda matrix: np.sort_complex(np.roots(np.poly(matrix))))
    assert np.sort_complex(ours) == pytest.approx(roots, rel=1e-9)
    assert measures.eigenvalues(5 * ROTATION) == pytest.approx(np.array([5j, -5j]))


def test_singular_values_are_the_roots_of_the_eigenvalues_of_the_gram_matrix():
    gram = one_by_one(lambda matrix: np.sqrt(np.linalg.eigvalsh(matrix.T @ matrix))[::-1])
    assert measures.singular_values(MATRICES) == pytest.approx(gram, rel=1e-9)
    assert measures.spectral_norm(MATRICES) == pytest.approx(gram[..., 0], rel=1e-9)
    assert measures.condition_number(MATRICES) == pytest.approx(gram[..., 0] / gram[..., 2], rel=1e-8)


def test_the_determinant_is_the_sum_over_permutations():
    def leibniz(m):
        return (
            m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
            - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
            + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
        )

    assert measures.determinant(MATRICES) == pytest.approx(one_by_one(leibniz), rel=1e-12)


def test_symmetry_compares_the_symmetric_with_the_antisymmetric_part():
    def by_parts(m):
        symmetric, antisymmetric = np.linalg.norm((m + m.T) / 2) ** 2, np.linalg.norm((m - m.T) / 2) ** 2
        return (symmetric - antisymmetric) / (symmetric + antisymmetric)

    assert measures.symmetry(MATRICES) == pytest.approx(one_by_one(by_parts), rel=1e-12)
    symmetric = MATRICES + np.swapaxes(MATRICES, -1, -2)
    assert measures.symmetry(symmetric) == pytest.approx(np.ones((3, 2)), abs=1e-12)
    assert measures.symmetry(ROTATION) == -1
    # [[1, 2], [0, 0]]: ⟨X, Xᵀ⟩ = 1, ‖X‖² = 5.
    assert float(measures.symmetry(np.array([[1.0, 2.0], [0.0, 0.0]]))) == pytest.approx(0.2)


def test_the_distance_from_orthogonal_is_the_least_over_scales_and_orthogonal_matrices():
    """The nearest orthogonal matrix is that of the polar decomposition; scales are tried on a fine grid."""

    def least(m):
        left, _, right = np.linalg.svd(m)
        return min(np.linalg.norm(m - scale * left @ right) for scale in np.linspace(0, 4, 4001)) / np.linalg.norm(m)

    ours = measures.distance_from_orthogonal(MATRICES)
    assert ours == pytest.approx(one_by_one(least), abs=1e-5)
    for _ in range(50):
        q = np.linalg.qr(RANDOM.normal(size=(3, 3)))[0]
        scale = (MATRICES * q).sum((-2, -1), keepdims=True) / 3
        others = np.linalg.norm(MATRICES - scale * q, axis=(-2, -1)) / np.linalg.norm(MATRICES, axis=(-2, -1))
        assert (others >= ours - 1e-12).all()
    # Singular values 1 and 7: mean 4, so √(9 + 9) / √50.
    assert float(measures.distance_from_orthogonal(np.diag([1.0, 7.0]))) == pytest.approx(0.6)
    rank_one = np.outer([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert float(measures.distance_from_orthogonal(rank_one)) == pytest.approx(np.sqrt(2 / 3))
    assert float(measures.distance_from_orthogonal(-7e-3 * ROTATION)) < 1e-15


def test_column_correlation_is_the_mean_cosine_of_pairs():
    def by_pairs(m):
        pairs = [(0, 1), (0, 2), (1, 2)]
        cosines = [m[:, i] @ m[:, j] / np.linalg.norm(m[:, i]) / np.linalg.norm(m[:, j]) for i, j in pairs]
        return np.mean(np.abs(cosines))

    assert measures.column_correlation(MATRICES) == pytest.approx(one_by_one(by_pairs), rel=1e-12)
    assert float(measures.column_correlation(np.full((4, 4), -3.0))) == pytest.approx(1, abs=1e-12)
    assert float(measures.column_correlation(np.array([[1.0, 1.0], [0.0, 1.0]]))) == pytest.approx(np.sqrt(0.5))
    assert float(measures.column_correlation(np.array([[2.0]]))) == 0


def test_equal_columns_are_told_from_parallel_ones_and_from_zero():
    tiled, parallel = np.full((3, 3), 2.0), np.array([[1.0, 2.0, 3.0]] * 3)
    rows = np.array([[1.0] * 3, [2.0] * 3, [3.0] * 3])
    stack = np.stack([tiled, rows, parallel, np.zeros((3, 3)), np.eye(3)])
    assert measures.has_equal_columns(stack).tolist() == [True, True, False, False, False]
    assert measures.is_singular(stack).tolist() == [True, True, True, True, False]
    assert not measures.has_equal_columns(np.array([[2.0]]))
    assert not measures.has_equal_columns(tiled + 1e-7 * np.eye(3))


@pytest.mark.parametrize("measure", EVERY, ids=lambda measure: measure.__name__)
def test_measures_are_finite_at_zero_and_at_every_rank_and_scale(measure):
    for rank in range(4):
        matrix = RANDOM.normal(size=(3, rank)) @ RANDOM.normal(size=(rank, 3))
        if measure is measures.condition_number:
            assert np.isinf(measure(matrix)) == (rank < 3)
            continue
        # Squares of these are beyond float64; a determinant of the larger is as well, and so infinite as it should be.
        scales = (1.0, 1e-200, 1e90 if measure is measures.determinant else 1e200)
        assert all(np.isfinite(measure(scale * matrix)).all() for scale in scales)
        if measure in (measures.symmetry, measures.distance_from_orthogonal, measures.column_correlation):
            for scale in scales:
                assert measure(scale * matrix) == pytest.approx(measure(matrix), rel=1e-9, abs=1e-12)


def test_the_zero_matrix_by_every_measure():
    zero = np.zeros((3, 3))
    values = [float(np.abs(measure(zero)).max()) for measure in EVERY]
    assert values == [0, 0, 0, 0, np.inf, 0, 0, 0]


def test_a_matrix_that_is_not_finite_is_nan_and_leaves_the_others_alone():
    broken = MATRICES.copy()
    broken[1, 0, 2, 2], broken[2, 1, 0, 0] = np.nan, -np.inf
    for measure in EVERY:
        ours, whole = measure(broken), measure(MATRICES)
        for place in np.ndindex(3, 2):
            if place in ((1, 0), (2, 1)):
                assert np.isnan(ours[place]).all()
            else:
                assert np.array_equal(ours[place], whole[place])


def test_measures_take_jax_arrays_of_any_dtype_and_compute_in_float64():
    x = jnp.asarray(MATRICES, jnp.bfloat16)
    wide = np.asarray(x).astype(np.float64)
    for measure in EVERY:
        assert measure(x).dtype in (np.float64, np.complex128)
        assert np.array_equal(measure(x), measure(wide))


def test_measures_refuse_what_is_not_square_or_not_of_floats():
    with pytest.raises(ContractError, match=r"symmetry got x float32\[2, 3\]; it takes .*axis -1 is 3, n is 2"):
        measures.symmetry(jnp.ones((2, 3)))
    with pytest.raises(ContractError, match="determinant got x"):
        measures.determinant(jnp.ones((2, 2), int))
