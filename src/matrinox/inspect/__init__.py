"""What a model is, told without running it: shapes, costs, spectra, and why it was compiled again."""

__all__: list[str] = []
