"""
The errors of the program. Each class knows its exit code (contract: "Exit codes").

TrafficAggrError                1    something failed
├── StateError                  1    a state file cannot be read or written
├── StepError                   1    drop, stage or load failed
│   └── UnprovenError           1    what was published reads back as something else: it is taken back
├── ImpalaError                 1    Impala could not be brought up to date
│   ├── ImpalaRejectedError     1    it answered, and refuses the statement: not retried
│   ├── ImpalaUnavailableError  1    no answer, or errors that pass, in all attempts and time allowed
│   └── ImpalaMismatchError     1    its rows or usage differ from Spark's after the load
├── InputError                  2    bad arguments or surroundings; nothing was touched
│   ├── ConfigError             2
│   ├── PartitionListError      2
│   ├── TableError              2    a table, column or privilege is missing
│   ├── UnknownRunError         2    there is no run of that id
│   └── StatusFlagError         2    the flag in the status file is not 0..3
├── GuardError                  3    a guard refused; old data is in place
│   └── ReconciliationError     3    control totals differ before publishing
├── LockHeldError              75    another run holds the lock; nothing was touched
├── DriverFailedError           *    the driver in the cluster failed, with this exit code of its own
└── Interrupted           130/143    stopped by SIGINT or SIGTERM
"""

from __future__ import annotations

import signal
from typing import Any


class TrafficAggrError(Exception):
    """
    Base of every error that an operator sees, as one line: what happened, then what to do.

    ``hint`` is the second half: the thing to fix. ``command`` is what to type next, without program and configuration,
    where that is not the failed command again; ``next`` is that command in full, once a run record knows it.
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
    """A state file is unreadable, damaged or cannot be written."""


class StepError(TrafficAggrError):
    """A step of the run failed."""


class UnprovenError(StepError):
    """The final table, read back, is not what was staged; the old data has to be put back."""


class ImpalaError(TrafficAggrError):
    """
    Impala could not be brought up to date.

    ``sent`` holds the statements sent until then, as ``impala_refresh.SentStatement``.
    """

    sent: tuple[Any, ...] = ()


class ImpalaRejectedError(ImpalaError):
    """Impala refused the statement: syntax, privileges, no such table."""


class ImpalaUnavailableError(ImpalaError):
    """No coordinator carried out the statement within the attempts and the time allowed."""


class ImpalaMismatchError(ImpalaError):
    """Impala's own rows or usage differ from what was loaded."""


class InputError(TrafficAggrError):
    """Something given to the run is wrong; nothing was touched."""

    exit_code = 2


class ConfigError(InputError):
    """The configuration is wrong."""


class PartitionListError(InputError):
    """The partition list is wrong, empty or too long."""


class TableError(InputError):
    """A table, a column or a privilege is missing or not as required."""


class UnknownRunError(InputError):
    """There is no run of that id."""


class StatusFlagError(InputError):
    """The step flag in the status file is not one of 0, 1, 2, 3."""


class GuardError(TrafficAggrError):
    """A guard refused the run before anything was published; ``guard`` is its name where a plan can show it."""

    exit_code = 3

    def __init__(
        self, message: str, *, hint: str = "", command: tuple[str, ...] = (), guard: str = "foreign_table"
    ) -> None:
        super().__init__(message, hint=hint, command=command)
        self.guard = guard


class ReconciliationError(GuardError):
    """The control totals of two stages differ before publishing."""


class LockHeldError(TrafficAggrError):
    """Another run holds the lock, or its JVM still lives."""

    exit_code = 75


class DriverFailedError(TrafficAggrError):
    """The driver in the cluster ended with an error, which it has recorded; ``exit_code`` is its own."""

    def __init__(self, message: str, exit_code: int, *, next_command: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.next = next_command


class Interrupted(TrafficAggrError):
    """The run was stopped by a signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum
