"""Joining several processes; that they train together is shown in `test_placement_processes.py`."""

import socket
import time

import pytest

from matrinox.train import join_processes
from matrinox.train.shard.processes import any_of, in_main, is_main


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 2}, r"`count` \(=2\), `index` \(=None\) and `coordinator` \(=None\) must be given together"),
        (
            {"count": 2, "index": 2, "coordinator": "localhost:1"},
            r"`index` \(=2\) must be from 0 to below `count` \(=2\)",
        ),
        ({"count": 2, "index": -1, "coordinator": "localhost:1"}, r"`index` \(=-1\) must be from 0"),
        (
            {"count": 2, "index": 0, "coordinator": "localhost"},
            r"`coordinator` \(='localhost'\) must be a host and a port",
        ),
        ({"count": 2, "index": 0, "coordinator": "localhost:99999"}, r"must be a host and a port"),
    ],
    ids=["one of three", "index too large", "index below 0", "no port", "no such port"],
)
def test_what_cannot_be_a_place_among_processes_is_refused_before_jax_is_asked(given, message):
    with pytest.raises(ValueError, match=message):
        join_processes(**given)


def test_a_coordinator_that_does_not_listen_is_named():
    with socket.socket() as held:
        # Bound and not listening: nobody else can take the port meanwhile.
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        before = time.monotonic()
        with pytest.raises(
            TimeoutError, match=rf"`coordinator` \(=127\.0\.0\.1:{port}\) must listen within 1 s: start"
        ):
            join_processes(2, 1, f"127.0.0.1:{port}", seconds=1)
        assert time.monotonic() - before < 5


def test_a_process_alone_is_the_main_one_and_acts_itself():
    told = []
    in_main(lambda: told.append(any_of(True)))
    in_main(lambda: told.append(any_of(False)))
    assert told == [True, False]
    assert is_main()
    with pytest.raises(OSError, match="no space"):
        in_main(lambda: (_ for _ in ()).throw(OSError("no space")))
