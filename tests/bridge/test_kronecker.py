import jax.numpy as jnp
import numpy as np

from matrinox.bridge.kronecker import block_means, with_identity, with_ones, written_out
from matrinox.functional import dense
from matrinox.params import MatrixParams


def test_a_written_out_weight_maps_the_entries_in_a_row(draw):
    W, x = draw(3, 2, 2, 2), draw(2, 2, 2)
    np.testing.assert_allclose(written_out(W) @ x.ravel(), dense(MatrixParams(W), x).ravel(), rtol=1e-5, atol=1e-6)


def test_a_written_out_kernel_is_that_of_each_place(draw):
    W = draw(3, 2, 2, 4, 2, 2)
    kernel = written_out(W)
    assert kernel.shape == (12, 8, 2, 4)
    np.testing.assert_array_equal(kernel[..., 1, 2], written_out(W[:, :, 1, 2]))


def test_larger_matrices_are_kronecker_products(draw):
    A = draw(3, 2, 2)
    np.testing.assert_array_equal(with_identity(A, 3)[1], jnp.kron(A[1], jnp.eye(3)))
    np.testing.assert_array_equal(with_ones(A, 3)[1], jnp.kron(A[1], jnp.ones((3, 3))))
    np.testing.assert_allclose(block_means(with_ones(A, 3), 3), A, rtol=1e-6)
