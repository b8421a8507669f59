"""From scalar networks to matrix-valued ones and back: the same functions in other layers."""

__all__: list[str] = []
