"""Transforms of functions of Equinox modules and trees of arrays: derivatives of any kind and order, vectorised."""

__all__: list[str] = []
