"""
What can become of a call to a coordinator, as far as trying again is concerned.
"""

from __future__ import annotations


class NoAnswerError(Exception):
    """Refused, reset, timed out, dropped, cancelled: another attempt may do better."""


class RejectedError(Exception):
    """The coordinator answered, and says no: another attempt would end the same."""


class UntrustedError(RejectedError):
    """
    One side could not prove to the other who it is: nothing was sent. ``hint`` says what to look at.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
