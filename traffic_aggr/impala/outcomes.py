"""
What can become of a call to a coordinator, as far as trying again is concerned.
"""

from __future__ import annotations

from traffic_aggr.impala.answers import UNLISTED, trouble_of
from traffic_aggr.text import shown

MESSAGE_CHARACTERS = 400


class NoAnswerError(Exception):
    """Refused, reset, timed out, dropped, cancelled: another attempt may do better."""


class RejectedError(Exception):
    """
    The coordinator answered with an error: ``said`` has all its words, ``trouble`` what they mean.
    """

    def __init__(self, said: str) -> None:
        super().__init__(one_line(said))
        self.said = said
        self.trouble = trouble_of(said)


class UntrustedError(RejectedError):
    """
    One side could not prove to the other who it is: nothing was sent. ``hint`` says what to look at.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint
        self.trouble = UNLISTED  # whatever its words are: a wrong password sent again locks the account


def one_line(error: object) -> str:
    """The words of ``error``, or its class where it has none, safe to show on one line."""
    text = str(error) or type(error).__name__
    return shown(" ".join(text.split()), MESSAGE_CHARACTERS)
