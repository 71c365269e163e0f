"""The errors that pypool raises on its own account.

    PoolError (RuntimeError)
      ├── SubmitError             the scheduler did not take the job
      ├── AgentStartError         elements ended before they said a word
      │     └── VersionMismatchError    another Python or pypool on the node
      ├── InitializerError        the pool's initializer raised, or ended its process
      ├── RunDirectoryError       the work directory or the run in it cannot be used
      ├── WorkerLostError         the process that ran the task died, again and again
      │     ├── OutOfMemoryError        for want of memory
      │     └── TimeLimitError          for want of time
      ├── CodeChangedError        workers have loaded other code than the program
      ├── NoResultError           a run that is looked at does not have it
      └── RemoteError             an error of the task that cannot be rebuilt here

A task's own exception is raised as it is, never as one of these. None of them is a TypeError or
a ValueError: libraries that are handed a pool catch those for reasons of their own. Wrong
arguments and wrong states raise what `multiprocessing.pool` raises.
"""


class PoolError(RuntimeError):
    """Whatever went wrong in pypool itself, or in what it stands on."""


class SubmitError(PoolError):
    """The scheduler refused the job, or its command failed.

    Attributes
    ----------
    unclear : bool
        The scheduler may have taken the job all the same.
    temporary : bool
        It has not, but the same may work later.
    too_many : bool
        It may take an array with fewer elements.
    unknown : bool
        Nobody knows these words: it looks like a refusal, and the queue is asked whether it is one.
    words : str
        What it said, on one line.
    """

    unclear = False
    temporary = False
    too_many = False
    unknown = False
    words = ""


class AgentStartError(PoolError):
    """Array elements ended without saying hello, so no task can be run."""


class VersionMismatchError(AgentStartError):
    """The node runs another Python minor version or another pypool than the driver."""


class InitializerError(PoolError):
    """The pool's initializer raised an exception in a worker, which is the cause of this one.

    Or it ended its process again and again.
    """


class RunDirectoryError(PoolError):
    """The work directory, or a run directory in it, is missing, unsafe, full or damaged."""


class WorkerLostError(PoolError):
    """A task was lost with its worker more often than `retries` allows."""


class OutOfMemoryError(WorkerLostError):
    """A task was lost more often than `retries` allows, the last time for want of memory."""


class TimeLimitError(WorkerLostError):
    """A task was lost more often than `retries` allows, the last time for want of time."""


class CodeChangedError(PoolError):
    """Modules were changed since the program loaded them, and `on_change="refuse"`."""


class NoResultError(PoolError):
    """The result of a task is not there yet, or there no more."""


class RemoteError(PoolError):
    """A task raised, or returned, something that cannot be rebuilt in this process."""
