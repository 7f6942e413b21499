"""
The ways in which a call to a coordinator can fail, told apart by whether a retry may help.
"""

from __future__ import annotations

from traffic_aggr.impala.answers import UNLISTED, Kind, trouble_of
from traffic_aggr.text import shown

MESSAGE_CHARACTERS = 400


class NoAnswerError(Exception):
    """The call was refused, reset, timed out, dropped or cancelled; a retry may succeed."""


class RejectedError(Exception):
    """
    The coordinator answered with an error. ``said`` is its full text, ``trouble`` what it means.
    """

    def __init__(self, said: str) -> None:
        super().__init__(one_line(said))
        self.said = said
        self.trouble = trouble_of(said)


class UntrustedError(RejectedError):
    """
    One side could not prove its identity to the other, so no statement was sent. ``hint`` says what to check.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
        self.trouble = UNLISTED  # never retried, whatever it says: repeating a wrong password locks the account


def was_rejected_as(error: BaseException, kind: Kind) -> bool:
    """Whether what caused ``error`` is an answer of that kind."""
    return isinstance(error.__cause__, RejectedError) and error.__cause__.trouble.kind is kind


def one_line(error: object) -> str:
    """Returns the text of ``error``, or its class name when it has none, safe to show on one line."""
    text = str(error) or type(error).__name__
    return shown(" ".join(text.split()), MESSAGE_CHARACTERS)
