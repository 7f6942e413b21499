"""Restates days of a shared warehouse table, safely."""

__version__ = "0.1.0"
