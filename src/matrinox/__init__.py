"""matrinox: shape-checked matrix-neuron networks for JAX and Equinox."""
