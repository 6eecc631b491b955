"""Worker processes, which end with the process that started them: a kill of that one leaves nothing behind."""

import os
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context

from .errors import GlasslibError
from .progress import progress


def follow(parent):
    """End this process once its parent, of this id, has ended."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _end(executor):
    """End what an executor has begun: `shutdown` would wait for it, hours perhaps, before the error is seen."""
    for process in list((executor._processes or {}).values()):
        process.terminate()


@contextmanager
def pool(workers):
    """An executor of fresh processes; after an error nothing that waits in it is begun, and what runs is ended.

    Raises
    ------
    GlasslibError
        Where a process was lost.
    """
    executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=follow, initargs=(os.getpid(),))
    try:
        yield executor
    except BrokenExecutor:
        _end(executor)
        raise GlasslibError(
            "a worker process was lost, perhaps for want of memory: the same command goes on, with fewer workers if need be"
        ) from None
    except BaseException:
        _end(executor)
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def all_done(jobs, workers=1, title=None, unit="parts"):
    """What several jobs return, in their order; the first error ends them all.

    Parameters
    ----------
    jobs : list of tuples
        A function and its arguments, which a process can be sent.
    workers : int
        Processes; with one, this one does the work.
    title, unit : str
        Of the progress bar; none without a title.
    """

    def shown(one_by_one):
        return progress(one_by_one, title, unit, len(jobs)) if title else one_by_one

    if workers == 1:
        return list(shown(function(*arguments) for function, *arguments in jobs))
    with pool(workers) as processes:
        made = [processes.submit(*job) for job in jobs]
        for one in shown(as_completed(made)):
            one.result()
        return [one.result() for one in made]
