"""Logs of runs: while they go on, finished, on the screen, as curves, and side by side."""

from matrinox.train.log.comparison import Comparison as Comparison
from matrinox.train.log.comparison import compare_runs as compare_runs
from matrinox.train.log.csv_file import Csv as Csv
from matrinox.train.log.curves import plot_run as plot_run
from matrinox.train.log.curves import plot_runs as plot_runs
from matrinox.train.log.events import EVENTS as EVENTS
from matrinox.train.log.events import read_events as read_events
from matrinox.train.log.json_lines import JsonLines as JsonLines
from matrinox.train.log.packed import pack as pack
from matrinox.train.log.packed import unpack as unpack
from matrinox.train.log.recorded import Recorded as Recorded
from matrinox.train.log.recorded import read_runs as read_runs
from matrinox.train.log.run_log import Run as Run
from matrinox.train.log.run_log import RunLog as RunLog
from matrinox.train.log.run_log import Score as Score
from matrinox.train.log.run_log import read_log as read_log
from matrinox.train.log.run_log import rounds_as_columns as rounds_as_columns
from matrinox.train.log.run_log import software as software
from matrinox.train.log.run_log import write_log as write_log
from matrinox.train.log.screen import show_progress as show_progress
from matrinox.train.log.tensorboard import TensorBoard as TensorBoard
