"""
The program's errors. Each class carries its exit code (contract: "Exit codes").

TrafficAggrError                1    something failed
├── StateError                  1    a state file cannot be read or written
├── StepError                   1    drop, stage or load failed
│   └── UnprovenError           1    the published data differs from staging: the old data is put back
├── ImpalaError                 1    Impala could not be brought up to date
│   ├── ImpalaRejectedError     1    Impala refused the statement: not retried
│   ├── ImpalaUnavailableError  1    no answer, or only transient errors, within the attempts and time allowed
│   └── ImpalaMismatchError     1    Impala's rows or usage differ from Spark's after the load
├── InputError                  2    bad arguments or environment; nothing was touched
│   ├── ConfigError             2
│   ├── PartitionListError      2
│   ├── TableError              2    a table, column or privilege is missing
│   ├── UnknownRunError         2    no run has that id
│   └── StatusFlagError         2    the flag in the status file is not 0 to 3
├── GuardError                  3    a guard refused; old data is in place
│   └── ReconciliationError     3    control totals differ before publishing
├── LockHeldError              75    another run holds the lock (nothing was touched), or took it from this one
├── DriverFailedError           *    the driver in the cluster failed; the exit code is its own
└── Interrupted           130/143    stopped by SIGINT or SIGTERM
"""

from __future__ import annotations

import signal
from typing import Any


class TrafficAggrError(Exception):
    """
    Base of every error that an operator sees as one line: what happened, then what to do.

    ``hint`` is the second half: what to fix. ``command`` is what to type next, without program and configuration; it is
    empty when that is the failed command again. ``next`` is the whole command line, once the run record has it.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", command: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.command = command
        self.next = ""

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class StateError(TrafficAggrError):
    """
    A state file is unreadable, damaged or not writable.

    Also raised when YARN's resource manager does not answer, and by the probes of ``check``.
    """


class StepError(TrafficAggrError):
    """A step of the run failed."""


class UnprovenError(StepError):
    """The final table, read back, differs from staging; the old data must be put back."""


class ImpalaError(TrafficAggrError):
    """
    Impala could not be brought up to date.

    ``sent`` holds the statements sent so far, as ``impala.refresh.SentStatement``.
    """

    sent: tuple[Any, ...] = ()


class ImpalaRejectedError(ImpalaError):
    """Impala refused the statement: wrong syntax, missing privileges, no such table."""


class ImpalaUnavailableError(ImpalaError):
    """No coordinator executed the statement within the attempts and time allowed."""


class ImpalaMismatchError(ImpalaError):
    """Impala's own row count or usage differs from what was loaded."""


class InputError(TrafficAggrError):
    """The run's input or environment is wrong; nothing was touched."""

    exit_code = 2


class ConfigError(InputError):
    """The configuration is wrong."""


class PartitionListError(InputError):
    """The partition list is wrong, empty or too long."""


class TableError(InputError):
    """A table, column or privilege is missing or not as required."""


class UnknownRunError(InputError):
    """No run has that id."""


class StatusFlagError(InputError):
    """The step flag in the status file is not one of 0, 1, 2, 3."""


class GuardError(TrafficAggrError):
    """A guard refused before anything was published; ``guard`` is the name that a plan shows."""

    exit_code = 3

    def __init__(
        self, message: str, *, hint: str = "", command: tuple[str, ...] = (), guard: str = "foreign_table"
    ) -> None:
        super().__init__(message, hint=hint, command=command)
        self.guard = guard


class ReconciliationError(GuardError):
    """The control totals of two stages differ before publishing."""


class LockHeldError(TrafficAggrError):
    """Another run holds the lock, its JVM is still alive, or this run has lost the lock."""

    exit_code = 75


class DriverFailedError(TrafficAggrError):
    """The driver in the cluster failed and recorded its error; ``exit_code`` is the driver's."""

    def __init__(self, message: str, exit_code: int, *, next_command: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.next = next_command


class Interrupted(TrafficAggrError):
    """A signal stopped the run."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum
