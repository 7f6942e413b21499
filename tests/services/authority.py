"""
A certificate authority of the tests' own.
"""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


class Authority:
    """A certificate authority of this test session, and the certificates that it signs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.certificate = directory / "ca.pem"
        self._openssl("-x509", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem")

    def server(self, alternative_name: str) -> ssl.SSLContext:
        """A server's context, with a certificate for ``alternative_name`` (``IP:127.0.0.1``, ``DNS:…``)."""
        signed = ["-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=impalad"]
        named = ["-addext", f"subjectAltName={alternative_name}"]
        self._openssl(*signed, *named, "-keyout", "server.key", "-out", "server.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._directory / "server.pem", self._directory / "server.key")
        return context

    def _openssl(self, *arguments: str) -> None:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        subprocess.run(["openssl", "req", *key, *arguments], cwd=self._directory, check=True, capture_output=True)
