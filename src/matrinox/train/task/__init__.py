"""Tasks: what a model is to do, as a loss to lower and figures to report."""

from matrinox.train.task.base import Tally as Tally
from matrinox.train.task.base import Task as Task
from matrinox.train.task.classification import Classification as Classification
from matrinox.train.task.contrastive import Contrastive as Contrastive
from matrinox.train.task.denoising import Denoising as Denoising
from matrinox.train.task.language import LanguageModelling as LanguageModelling
from matrinox.train.task.masked import MaskedReconstruction as MaskedReconstruction
from matrinox.train.task.reconstruction import Reconstruction as Reconstruction
from matrinox.train.task.regression import Regression as Regression
from matrinox.train.task.tracking import StateTracking as StateTracking
