"""Transforms of functions of Equinox modules and trees of arrays: derivatives of any kind and order, and vectorisation."""

__all__: list[str] = []
