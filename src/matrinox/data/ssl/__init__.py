"""Self-supervision: what a model is given of an example, and what it is to tell of the rest."""

from matrinox.data.ssl.masks import BlockMask as BlockMask
from matrinox.data.ssl.masks import Mask as Mask
from matrinox.data.ssl.masks import PeriodicMask as PeriodicMask
from matrinox.data.ssl.masks import PrefixMask as PrefixMask
from matrinox.data.ssl.masks import RandomMask as RandomMask
from matrinox.data.ssl.masks import block_mask as block_mask
from matrinox.data.ssl.masks import periodic_mask as periodic_mask
from matrinox.data.ssl.masks import prefix_mask as prefix_mask
from matrinox.data.ssl.masks import random_mask as random_mask
from matrinox.data.ssl.patches import masked_sample as masked_sample
from matrinox.data.ssl.patches import patch_grid as patch_grid
from matrinox.data.ssl.patches import spread_mask as spread_mask
from matrinox.data.ssl.patches import vector_prefix as vector_prefix
