"""
A certificate authority for the tests.
"""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

_CA = """
[ca]
default_ca = tests
[tests]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""


class Authority:
    """
    A certificate authority of this test session, and the certificates that it signs.

    ``server_certificate`` and ``server_key`` belong to the last server.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.certificate = directory / "ca.pem"
        self.server_certificate = directory / "server.pem"
        self.server_key = directory / "server.key"
        self._openssl("-x509", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem")

    def server(self, alternative_name: str) -> ssl.SSLContext:
        """Returns a server's context with a certificate for ``alternative_name`` (``IP:127.0.0.1``, ``DNS:…``)."""
        signed = ["-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=impalad"]
        named = ["-addext", f"subjectAltName={alternative_name}"]
        self._openssl(*signed, *named, "-keyout", "server.key", "-out", "server.pem")
        return self._context()

    def expired_server(self, alternative_name: str) -> ssl.SSLContext:
        """Returns a server's context with a certificate that was valid for one day of 2020."""
        asked = ["-new", "-subj", "/CN=impalad", "-addext", f"subjectAltName={alternative_name}"]
        self._openssl(*asked, "-keyout", "server.key", "-out", "server.csr")
        (self._directory / "ca.cnf").write_text(_CA)
        (self._directory / "index.txt").touch()
        dates = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]
        authority = ["-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-create_serial"]
        self._run("ca", "-batch", "-notext", *authority, *dates, "-in", "server.csr", "-out", "server.pem")
        return self._context()

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_certificate, self.server_key)
        return context

    def _openssl(self, *arguments: str) -> None:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._run("req", *key, *arguments, *(["-days", "2"] if "-x509" in arguments else []))

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._directory, check=True, capture_output=True)
