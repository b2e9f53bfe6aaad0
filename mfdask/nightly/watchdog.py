"""The time limit of a whole night."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mfdask.errors import RefusedError

#: What a night may take to clear up behind its end; each step can be killed at any instant.
_SECONDS_TO_STOP = 60.0


@contextmanager
def ended_after(seconds: float, where: str) -> Iterator[threading.Event]:
    """Interrupt the block after some seconds, and set the event that it is given; 0: never.

    Nothing happens outside the main thread, which alone can be interrupted. If even the interrupt
    ends nothing, such as where a worker hangs and is waited for, the process ends.

    Raises
    ------
    RefusedError
        If it was interrupted.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield threading.Event()
        return
    over = threading.Event()

    def interrupt() -> None:
        over.set()
        _thread.interrupt_main(signal.SIGALRM)

    # Not SIGINT, which a job started in the background may ignore.
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    timers = [threading.Timer(seconds, interrupt)]
    timers += [threading.Timer(seconds + _SECONDS_TO_STOP, os._exit, [RefusedError.exit_code])]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield over
    except KeyboardInterrupt:
        if not over.is_set():
            raise
        raise RefusedError(
            f"{where}: the night took longer than {seconds / 60:,g} minutes (timeout_minutes) and "
            "was ended; the next start goes on with it"
        ) from None
    finally:
        for timer in timers:
            timer.cancel()
        signal.signal(signal.SIGALRM, before)
