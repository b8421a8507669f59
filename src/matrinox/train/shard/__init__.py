"""Sharding: batch and weights over a mesh of devices, by the letters of their axes, in one process or several."""

from matrinox.train.shard.placement import NOWHERE as NOWHERE
from matrinox.train.shard.placement import Placement as Placement
from matrinox.train.shard.placement import placement as placement
from matrinox.train.shard.processes import join_processes as join_processes
from matrinox.train.shard.specs import partition_specs as partition_specs
