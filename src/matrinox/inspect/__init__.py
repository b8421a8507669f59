"""What a model is, told without running it: shapes, costs, spectra, and why it was compiled again."""

from matrinox.inspect.check import check
from matrinox.inspect.recompile import explain_recompile
from matrinox.inspect.report import Report, Row

__all__ = ["Report", "Row", "check", "explain_recompile"]
