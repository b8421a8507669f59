"""`prefetch`: a loader whose minibatches are read ahead by a thread."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator

from matrinox.contract import contract
from matrinox.data.loader import Batch, Loader


@contract
def prefetch(loader: Loader, *, depth: int = 2) -> Loader:
    """The same minibatches, read ahead while the last ones are trained on.

    A thread reads from the first minibatch on, and ends when its iterator ends, is closed or is dropped. What the
    reader raises is raised where its minibatch was due.

    **Arguments:** `loader`: what is read ahead; `depth`: how many minibatches wait at most, 1 or more.
    **Returns:** a loader.
    **Raises:** `ValueError` for a `depth` below 1; `ContractError` for another type.
    """
    if depth < 1:
        raise ValueError(f"`depth` (={depth}) must be 1 or more: choose how many minibatches are read ahead.")
    return _Prefetched(loader, depth)


class _Prefetched(Loader):
    def __init__(self, loader: Loader, depth: int):
        self.name, self.batch = loader.name, loader.batch
        self._loader, self._depth = loader, depth

    def __len__(self) -> int:
        return len(self._loader)

    def batches(self, first: int = 0) -> Iterator[Batch]:
        return _ahead(self._loader.batches(first), self._depth)

    def once(self) -> Iterator[Batch]:
        return _ahead(self._loader.once(), self._depth)

    def fingerprint(self) -> str:
        return self._loader.fingerprint()


_Read = tuple[Batch | None, BaseException | None]
"""A minibatch, or what was raised in its place, or neither at the end."""


def _ahead(batches: Iterator[Batch], depth: int) -> Iterator[Batch]:
    ready: queue.SimpleQueue[_Read] = queue.SimpleQueue()
    room, stopped = threading.Semaphore(depth), threading.Event()
    # As a daemon it keeps no process alive that ends with an iterator in hand.
    thread = threading.Thread(target=_read_ahead, args=(batches, ready, room, stopped), name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is None:
                return
            room.release()
            yield batch
    finally:
        stopped.set()
        room.release()
        thread.join()


def _read_ahead(
    batches: Iterator[Batch], ready: "queue.SimpleQueue[_Read]", room: threading.Semaphore, stopped: threading.Event
) -> None:
    try:
        with contextlib.ExitStack() as stack:
            # A generator has a file open perhaps, which the thread that reads it closes here.
            if isinstance(batches, Generator):
                stack.callback(batches.close)
            while room.acquire() and not stopped.is_set():
                batch = next(batches, None)
                ready.put((batch, None))
                if batch is None:
                    return
    # Whatever it is, it belongs to whoever waits for the minibatch.
    except BaseException as error:
        ready.put((None, error))
