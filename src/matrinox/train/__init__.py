"""Training: tasks, optimisers, the step and the state, the loop and its hooks, checkpoints and logs.

- A run: `fit`, `Fitted`, `Recipe`, `Augmentation`, `Checkpoints`, `Progress`, `ask_to_stop`; a step: `Stepper`,
  `Taken`, `TrainState`.
- Tasks: `Classification`, `Regression`, `LanguageModelling`, `Reconstruction`, `MaskedReconstruction`, `Denoising`,
  `Contrastive`, `StateTracking`; one's own: `Task`, `Tally`.
- Optimisers: `AdamW`, `Adam`, `SGD`, `Momentum`, `Lion`, `Muon`; one's own: `Optimiser`; for some parameters:
  `Group`, `freeze`, `Frozen`; the learning rate: `find_learning_rate`, `FoundRate`.
- Schedules: `Cosine`, `Constant`, `Linear`, `Exponential`, `StepDecay`, `MultiStep`, `OneCycle`, `WarmupStableDecay`;
  one's own: `Scheduler`.
- Evaluation: `evaluate`, `Evaluation`, `apply_model`, `predict`, `predict_one`, `report_line`; probes: `run_probes`,
  `Probe`, `Probed`, `ProbeTable`, `linear_probe`, `LinearProbe`, `Probing`, `features_of`.
- Hooks and what they are told: `Hooks`, `Start`, `Step`, `Epoch`, `Round`, `Finish`; `show_progress`, `JsonLines`,
  `Csv`, `TensorBoard`.
- Logs: `Run`, `RunLog`, `Score`, `Recorded`, `Comparison`, `read_log`, `write_log`, `read_runs`, `read_events`,
  `EVENTS`, `compare_runs`, `plot_run`, `plot_runs`, `rounds_as_columns`, `pack`, `unpack`, `software`.
- Several devices: `placement`, `Placement`, `partition_specs`, `join_processes`.
"""

from matrinox.train.checkpoint import Checkpoints as Checkpoints
from matrinox.train.checkpoint import Progress as Progress
from matrinox.train.evaluate import Evaluation as Evaluation
from matrinox.train.evaluate import apply_model as apply_model
from matrinox.train.evaluate import evaluate as evaluate
from matrinox.train.freeze import Frozen as Frozen
from matrinox.train.freeze import freeze as freeze
from matrinox.train.hooks import Epoch as Epoch
from matrinox.train.hooks import Finish as Finish
from matrinox.train.hooks import Hooks as Hooks
from matrinox.train.hooks import Round as Round
from matrinox.train.hooks import Start as Start
from matrinox.train.hooks import Step as Step
from matrinox.train.interrupt import ask_to_stop as ask_to_stop
from matrinox.train.linear_probe import LinearProbe as LinearProbe
from matrinox.train.linear_probe import Probing as Probing
from matrinox.train.linear_probe import features_of as features_of
from matrinox.train.linear_probe import linear_probe as linear_probe
from matrinox.train.log import EVENTS as EVENTS
from matrinox.train.log import Comparison as Comparison
from matrinox.train.log import Csv as Csv
from matrinox.train.log import JsonLines as JsonLines
from matrinox.train.log import Recorded as Recorded
from matrinox.train.log import Run as Run
from matrinox.train.log import RunLog as RunLog
from matrinox.train.log import Score as Score
from matrinox.train.log import TensorBoard as TensorBoard
from matrinox.train.log import compare_runs as compare_runs
from matrinox.train.log import pack as pack
from matrinox.train.log import plot_run as plot_run
from matrinox.train.log import plot_runs as plot_runs
from matrinox.train.log import read_events as read_events
from matrinox.train.log import read_log as read_log
from matrinox.train.log import read_runs as read_runs
from matrinox.train.log import rounds_as_columns as rounds_as_columns
from matrinox.train.log import show_progress as show_progress
from matrinox.train.log import software as software
from matrinox.train.log import unpack as unpack
from matrinox.train.log import write_log as write_log
from matrinox.train.loop import Fitted as Fitted
from matrinox.train.loop import fit as fit
from matrinox.train.lr_finder import FoundRate as FoundRate
from matrinox.train.lr_finder import find_learning_rate as find_learning_rate
from matrinox.train.optim import SGD as SGD
from matrinox.train.optim import Adam as Adam
from matrinox.train.optim import AdamW as AdamW
from matrinox.train.optim import Constant as Constant
from matrinox.train.optim import Cosine as Cosine
from matrinox.train.optim import Exponential as Exponential
from matrinox.train.optim import Group as Group
from matrinox.train.optim import Linear as Linear
from matrinox.train.optim import Lion as Lion
from matrinox.train.optim import Momentum as Momentum
from matrinox.train.optim import MultiStep as MultiStep
from matrinox.train.optim import Muon as Muon
from matrinox.train.optim import OneCycle as OneCycle
from matrinox.train.optim import Optimiser as Optimiser
from matrinox.train.optim import Scheduler as Scheduler
from matrinox.train.optim import StepDecay as StepDecay
from matrinox.train.optim import WarmupStableDecay as WarmupStableDecay
from matrinox.train.probe import Probe as Probe
from matrinox.train.probe import Probed as Probed
from matrinox.train.probe import ProbeTable as ProbeTable
from matrinox.train.probe import predict as predict
from matrinox.train.probe import predict_one as predict_one
from matrinox.train.probe import run_probes as run_probes
from matrinox.train.recipe import Augmentation as Augmentation
from matrinox.train.recipe import Recipe as Recipe
from matrinox.train.report import report_line as report_line
from matrinox.train.shard import Placement as Placement
from matrinox.train.shard import join_processes as join_processes
from matrinox.train.shard import partition_specs as partition_specs
from matrinox.train.shard import placement as placement
from matrinox.train.state import TrainState as TrainState
from matrinox.train.step import Stepper as Stepper
from matrinox.train.step import Taken as Taken
from matrinox.train.task import Classification as Classification
from matrinox.train.task import Contrastive as Contrastive
from matrinox.train.task import Denoising as Denoising
from matrinox.train.task import LanguageModelling as LanguageModelling
from matrinox.train.task import MaskedReconstruction as MaskedReconstruction
from matrinox.train.task import Reconstruction as Reconstruction
from matrinox.train.task import Regression as Regression
from matrinox.train.task import StateTracking as StateTracking
from matrinox.train.task import Tally as Tally
from matrinox.train.task import Task as Task
