"""Ctrl-C as a request that a run answers where it is safe to stop."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_NOTE = b"\nstopping after this round; Ctrl-C again stops at once\n"


@contextlib.contextmanager
def ask_to_stop() -> Iterator[Callable[[], bool]]:
    """Within `with`, the first Ctrl-C is only noted, for a run to end behind its round; a second one raises.

    An exception raised anywhere can be lost (in a callback of the garbage collector) or leave a compilation half-way.
    In a thread, or where Ctrl-C is ignored or already handled by others, nothing is changed.

    **Returns:** within `with`, a function that says whether Ctrl-C has come: `should_stop` of `fit`.
    """
    asked = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        # Printing could find standard output's buffer in use by what was interrupted.
        with contextlib.suppress(OSError):
            os.write(1, _NOTE)

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
