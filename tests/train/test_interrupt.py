"""Ctrl-C as a request."""

import os
import signal
import threading

import pytest

from matrinox.train import ask_to_stop


@pytest.fixture(autouse=True)
def default_handler():
    """What Python starts with on a terminal, whatever started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_ctrl_c_is_noted_and_the_second_raises(capfd):
    with ask_to_stop() as should_stop:
        assert not should_stop()
        ctrl_c()
        assert should_stop()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
    assert capfd.readouterr().out == "\nstopping after this round; Ctrl-C again stops at once\n"


def test_outside_ctrl_c_is_as_it_was():
    with pytest.raises(KeyError), ask_to_stop():
        raise KeyError
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_where_ctrl_c_is_ignored_or_handled_nothing_changes(handler):
    signal.signal(signal.SIGINT, handler)
    with ask_to_stop() as should_stop:
        ctrl_c()
        assert not should_stop()
        assert signal.getsignal(signal.SIGINT) is handler


def test_in_a_thread_nothing_changes():
    seen = []

    def work():
        with ask_to_stop() as should_stop:
            seen.append((should_stop(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, signal.default_int_handler)]
