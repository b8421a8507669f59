"""Data sets in memory: the built-in ones, splits, minibatches, augmentation."""

from matrinox.data.augment import shift_images as shift_images
from matrinox.data.builtin import list_builtin as list_builtin
from matrinox.data.builtin import load_builtin as load_builtin
from matrinox.data.loader import DataSet as DataSet
from matrinox.data.loader import Splits as Splits
from matrinox.data.loader import minibatches as minibatches
from matrinox.data.loader import split as split
