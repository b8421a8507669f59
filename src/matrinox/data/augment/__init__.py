"""Augmentation: changes of inputs that leave their targets as they were, as functions and as plain data.

Each config is called as `augmentation(key, inputs)`, with a leading axis of examples, and draws anew for each of them.
"""

from matrinox.data.augment.images import Crop as Crop
from matrinox.data.augment.images import Cutout as Cutout
from matrinox.data.augment.images import Flip as Flip
from matrinox.data.augment.images import Shift as Shift
from matrinox.data.augment.images import crop_images as crop_images
from matrinox.data.augment.images import cutout_images as cutout_images
from matrinox.data.augment.images import flip_images as flip_images
from matrinox.data.augment.images import shift_images as shift_images
from matrinox.data.augment.noise import Noise as Noise
from matrinox.data.augment.noise import add_noise as add_noise
from matrinox.data.augment.rotation import Rotation as Rotation
from matrinox.data.augment.rotation import rotate_neurons as rotate_neurons
from matrinox.data.augment.shear import Shear as Shear
from matrinox.data.augment.shear import shear_images as shear_images
from matrinox.data.augment.signals import Gain as Gain
from matrinox.data.augment.signals import Roll as Roll
from matrinox.data.augment.signals import Stretch as Stretch
from matrinox.data.augment.signals import Tilt as Tilt
from matrinox.data.augment.signals import roll_signals as roll_signals
from matrinox.data.augment.signals import scale_signals as scale_signals
from matrinox.data.augment.signals import stretch_signals as stretch_signals
from matrinox.data.augment.signals import tilt_signals as tilt_signals
from matrinox.data.augment.turns import Augmentation as Augmentation
from matrinox.data.augment.turns import augmented as augmented
from matrinox.data.augment.views import two_views as two_views
