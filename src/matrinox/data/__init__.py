"""Data: examples in memory, loaders, the built-in sets, splits, minibatches, augmentation."""

from matrinox.data.augment import shift_images as shift_images
from matrinox.data.builtin import list_builtin as list_builtin
from matrinox.data.builtin import load_builtin as load_builtin
from matrinox.data.examples import DataSet as DataSet
from matrinox.data.examples import Examples as Examples
from matrinox.data.loader import Batch as Batch
from matrinox.data.loader import Loader as Loader
from matrinox.data.order import minibatches as minibatches
from matrinox.data.split import Splits as Splits
from matrinox.data.split import split as split
