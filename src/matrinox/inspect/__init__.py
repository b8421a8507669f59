"""What a model is, told without running it: shapes, costs, spectra, and why it was compiled again."""

from matrinox.inspect.check import check
from matrinox.inspect.lens import Lens, lens
from matrinox.inspect.lens_callback import LensCallback
from matrinox.inspect.lens_flags import Flag
from matrinox.inspect.measured import Measured
from matrinox.inspect.recompile import explain_recompile
from matrinox.inspect.report import Report, Row
from matrinox.inspect.summary import Summary, summary

__all__ = [
    "Flag",
    "Lens",
    "LensCallback",
    "Measured",
    "Report",
    "Row",
    "Summary",
    "check",
    "explain_recompile",
    "lens",
    "summary",
]
