"""Training: a task, an optimiser, a state, the loop, and the log of a run."""

from matrinox.train.freeze import Frozen as Frozen
from matrinox.train.freeze import freeze as freeze
from matrinox.train.interrupt import ask_to_stop as ask_to_stop
from matrinox.train.log import Run as Run
from matrinox.train.log import RunLog as RunLog
from matrinox.train.log import Score as Score
from matrinox.train.log import pack as pack
from matrinox.train.log import read_log as read_log
from matrinox.train.log import rounds_as_columns as rounds_as_columns
from matrinox.train.log import show_progress as show_progress
from matrinox.train.log import software as software
from matrinox.train.log import unpack as unpack
from matrinox.train.log import write_log as write_log
from matrinox.train.loop import Evaluation as Evaluation
from matrinox.train.loop import Fitted as Fitted
from matrinox.train.loop import Recipe as Recipe
from matrinox.train.loop import Round as Round
from matrinox.train.loop import apply_model as apply_model
from matrinox.train.loop import evaluate as evaluate
from matrinox.train.loop import fit as fit
from matrinox.train.loop import train_step as train_step
from matrinox.train.loop import train_steps as train_steps
from matrinox.train.optim import AdamW as AdamW
from matrinox.train.state import TrainState as TrainState
from matrinox.train.task import Classification as Classification
