"""
Wraps and unwraps messages in a server's security context; the package ``kerberos`` does so for clients only.
"""

from __future__ import annotations

import ctypes
from typing import Any

_library = ctypes.CDLL("libgssapi_krb5.so.2")
_library.gss_wrap.restype = _library.gss_unwrap.restype = ctypes.c_uint32
_pointer_in = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_in.restype, _pointer_in.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class GssError(Exception):
    """The GSSAPI library refused a call. The message holds its major and minor status."""


class _Buffer(ctypes.Structure):
    _fields_ = [("length", ctypes.c_size_t), ("value", ctypes.c_void_p)]


def wrapped(context: Any, message: bytes) -> bytes:
    """Returns ``message`` signed but not encrypted."""
    minor, given, result = ctypes.c_uint32(), _buffer(message), _Buffer()
    major = _library.gss_wrap(
        ctypes.byref(minor), _handle(context), 0, 0, ctypes.byref(given), None, ctypes.byref(result)
    )
    return _content(major, minor, result)


def unwrapped(context: Any, message: bytes) -> bytes:
    """Returns what the client has wrapped. Raises GssError when the client of another context wrapped it."""
    minor, given, result = ctypes.c_uint32(), _buffer(message), _Buffer()
    major = _library.gss_unwrap(
        ctypes.byref(minor), _handle(context), ctypes.byref(given), ctypes.byref(result), None, None
    )
    return _content(major, minor, result)


def _handle(context: Any) -> ctypes.c_void_p:
    """Returns the library's own context: the first field of what the package keeps for a server."""
    return ctypes.c_void_p.from_address(_pointer_in(context, None))


def _buffer(message: bytes) -> _Buffer:
    return _Buffer(len(message), ctypes.cast(ctypes.c_char_p(message), ctypes.c_void_p))


def _content(major: int, minor: ctypes.c_uint32, result: _Buffer) -> bytes:
    if major:
        raise GssError(f"major status {major:#x}, minor status {minor.value}")
    content = ctypes.string_at(result.value, result.length) if result.value else b""
    _library.gss_release_buffer(ctypes.byref(minor), ctypes.byref(result))
    return content
