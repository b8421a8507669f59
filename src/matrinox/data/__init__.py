"""Data: examples in memory and on disk, loaders, the built-in sets, splits, augmentation, masks and text.

- Examples in memory: `DataSet`, `Examples`; built in: `load_builtin`, `load_splits`, `list_builtin`, `load_text`,
  `list_texts`; finite groups and words of their elements: `Group`, `GroupWords`, `group_table`; tokens with a
  known Bayes rate: `XorTokens`.
- From files, whole: `read_csv`, `read_npy`, `read_npz`, `read_images`; piece by piece: `CsvFile`, `NpyFiles`,
  `NpzFile`, `ImageFolder`, of the kinds `Source` and `Stream`; columns of CSV: `fit_csv`, `CsvSchema`, `CsvColumn`,
  `FillWith`.
- Minibatches: `RowLoader`, `StreamLoader`, `prefetch`, `minibatches`; one's own: `Loader`, `Batch`.
- Parts: `split`, `split_random`, `split_in_order`, `split_by_group`, `split_rows`, `folds`, `Splits`, `SplitRows`,
  `Fold`.
- Inputs: `Normalize`; augmentations of images `Shift`, `Shear`, `Flip`, `Crop`, `Cutout`, of signals `Roll`,
  `Stretch`, `Tilt`, `Gain`, of neurons `Rotation`, of any inputs `Noise`; `augmented`, `Augmentation`, `two_views`; the
  same as functions `shift_images`, `shear_images`, `flip_images`, `crop_images`, `cutout_images`, `roll_signals`,
  `stretch_signals`, `tilt_signals`, `scale_signals`, `rotate_neurons`, `add_noise`.
- Masks: `RandomMask`, `BlockMask`, `PeriodicMask`, `PrefixMask`, `Mask`, `masked_sample`; the same as functions
  `random_mask`, `block_mask`, `periodic_mask`, `prefix_mask`, `spread_mask`, `patch_grid`, `vector_prefix`.
- Text: `CharTokenizer`, `ByteTokenizer`, `BPETokenizer`, `Tokenizer`, `load_tokenizer`, `TokenWindows`, `split_text`,
  `generate`.
"""

from matrinox.data.augment import Augmentation as Augmentation
from matrinox.data.augment import Crop as Crop
from matrinox.data.augment import Cutout as Cutout
from matrinox.data.augment import Flip as Flip
from matrinox.data.augment import Gain as Gain
from matrinox.data.augment import Noise as Noise
from matrinox.data.augment import Roll as Roll
from matrinox.data.augment import Rotation as Rotation
from matrinox.data.augment import Shear as Shear
from matrinox.data.augment import Shift as Shift
from matrinox.data.augment import Stretch as Stretch
from matrinox.data.augment import Tilt as Tilt
from matrinox.data.augment import add_noise as add_noise
from matrinox.data.augment import augmented as augmented
from matrinox.data.augment import crop_images as crop_images
from matrinox.data.augment import cutout_images as cutout_images
from matrinox.data.augment import flip_images as flip_images
from matrinox.data.augment import roll_signals as roll_signals
from matrinox.data.augment import rotate_neurons as rotate_neurons
from matrinox.data.augment import scale_signals as scale_signals
from matrinox.data.augment import shear_images as shear_images
from matrinox.data.augment import shift_images as shift_images
from matrinox.data.augment import stretch_signals as stretch_signals
from matrinox.data.augment import tilt_signals as tilt_signals
from matrinox.data.augment import two_views as two_views
from matrinox.data.builtin import list_builtin as list_builtin
from matrinox.data.builtin import list_texts as list_texts
from matrinox.data.builtin import load_builtin as load_builtin
from matrinox.data.builtin import load_splits as load_splits
from matrinox.data.builtin import load_text as load_text
from matrinox.data.csv_fit import FillWith as FillWith
from matrinox.data.csv_fit import fit_csv as fit_csv
from matrinox.data.csv_reader import CsvFile as CsvFile
from matrinox.data.csv_reader import read_csv as read_csv
from matrinox.data.csv_schema import CsvColumn as CsvColumn
from matrinox.data.csv_schema import CsvSchema as CsvSchema
from matrinox.data.examples import DataSet as DataSet
from matrinox.data.examples import Examples as Examples
from matrinox.data.folds import Fold as Fold
from matrinox.data.folds import folds as folds
from matrinox.data.groups import Group as Group
from matrinox.data.groups import group_table as group_table
from matrinox.data.image_folder import ImageFolder as ImageFolder
from matrinox.data.image_folder import read_images as read_images
from matrinox.data.loader import Batch as Batch
from matrinox.data.loader import Loader as Loader
from matrinox.data.normalize import Normalize as Normalize
from matrinox.data.npy_reader import NpyFiles as NpyFiles
from matrinox.data.npy_reader import NpzFile as NpzFile
from matrinox.data.npy_reader import read_npy as read_npy
from matrinox.data.npy_reader import read_npz as read_npz
from matrinox.data.order import minibatches as minibatches
from matrinox.data.prefetch import prefetch as prefetch
from matrinox.data.row_loader import RowLoader as RowLoader
from matrinox.data.source import Source as Source
from matrinox.data.source import Stream as Stream
from matrinox.data.split import SplitRows as SplitRows
from matrinox.data.split import Splits as Splits
from matrinox.data.split import split as split
from matrinox.data.split import split_by_group as split_by_group
from matrinox.data.split import split_in_order as split_in_order
from matrinox.data.split import split_random as split_random
from matrinox.data.split import split_rows as split_rows
from matrinox.data.ssl import BlockMask as BlockMask
from matrinox.data.ssl import Mask as Mask
from matrinox.data.ssl import PeriodicMask as PeriodicMask
from matrinox.data.ssl import PrefixMask as PrefixMask
from matrinox.data.ssl import RandomMask as RandomMask
from matrinox.data.ssl import block_mask as block_mask
from matrinox.data.ssl import masked_sample as masked_sample
from matrinox.data.ssl import patch_grid as patch_grid
from matrinox.data.ssl import periodic_mask as periodic_mask
from matrinox.data.ssl import prefix_mask as prefix_mask
from matrinox.data.ssl import random_mask as random_mask
from matrinox.data.ssl import spread_mask as spread_mask
from matrinox.data.ssl import vector_prefix as vector_prefix
from matrinox.data.stream_loader import StreamLoader as StreamLoader
from matrinox.data.text import BPETokenizer as BPETokenizer
from matrinox.data.text import ByteTokenizer as ByteTokenizer
from matrinox.data.text import CharTokenizer as CharTokenizer
from matrinox.data.text import Tokenizer as Tokenizer
from matrinox.data.text import TokenWindows as TokenWindows
from matrinox.data.text import generate as generate
from matrinox.data.text import load_tokenizer as load_tokenizer
from matrinox.data.text import split_text as split_text
from matrinox.data.words import GroupWords as GroupWords
from matrinox.data.xor import XorTokens as XorTokens
