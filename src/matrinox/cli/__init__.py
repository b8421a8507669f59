"""The command line: `matrinox train`, `eval`, `predict`, `list`, `show`, `plot`, `compare`, `results`, `data`."""

from matrinox.cli.command_line import main as main
