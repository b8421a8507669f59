"""Optimisers as plain data: frozen configs that build optax transformations."""

from matrinox.train.optim.adam import Adam as Adam
from matrinox.train.optim.adam import AdamW as AdamW
from matrinox.train.optim.base import Optimiser as Optimiser
from matrinox.train.optim.group import Group as Group
from matrinox.train.optim.lion import Lion as Lion
from matrinox.train.optim.muon import Muon as Muon
from matrinox.train.optim.schedule import Constant as Constant
from matrinox.train.optim.schedule import Cosine as Cosine
from matrinox.train.optim.schedule import Exponential as Exponential
from matrinox.train.optim.schedule import Linear as Linear
from matrinox.train.optim.schedule import MultiStep as MultiStep
from matrinox.train.optim.schedule import OneCycle as OneCycle
from matrinox.train.optim.schedule import Scheduler as Scheduler
from matrinox.train.optim.schedule import StepDecay as StepDecay
from matrinox.train.optim.schedule import WarmupStableDecay as WarmupStableDecay
from matrinox.train.optim.sgd import SGD as SGD
from matrinox.train.optim.sgd import Momentum as Momentum
