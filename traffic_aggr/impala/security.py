"""
Checks what a secure connection needs: certificate authorities for TLS, the Python package for Kerberos.
"""

from __future__ import annotations

import importlib.util
import os
import ssl

from traffic_aggr.config.config import TlsConfig
from traffic_aggr.errors import ConfigError
from traffic_aggr.impala.kerberos import MECHANISM as KERBEROS


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """
    Returns a context that verifies the server's certificate and host name.

    It trusts ``ca_cert``, else the system's authorities. Raises ConfigError when ``ca_cert`` cannot be read or no
    authority is found.
    """
    try:
        context = ssl.create_default_context(cafile=str(config.ca_cert) if config.ca_cert else None)
    except OSError as exc:
        raise ConfigError(
            f"impala.tls.ca_cert: {config.ca_cert} cannot be read as certificates: {exc}",
            hint="Give a readable PEM file with the authority that signed Impala's certificate",
        ) from exc
    directory = ssl.get_default_verify_paths().capath
    if not context.cert_store_stats()["x509_ca"] and not (directory and os.listdir(directory)):
        raise ConfigError(
            "impala.tls is on, but this system has no certificate authorities to verify by",
            hint="Set impala.tls.ca_cert to a PEM file with the authority that signed Impala's certificate",
        )
    return context


def check_mechanism(mechanism: str) -> None:
    """Raises ConfigError when this Python lacks the package that the authentication ``mechanism`` needs."""
    if mechanism == KERBEROS and importlib.util.find_spec("kerberos") is None:
        raise ConfigError(
            "impala.auth.mechanism: GSSAPI needs the Python package kerberos, which is not installed",
            hint="Install libkrb5-dev and gcc, then run `make EXTRAS=kerberos setup`",
        )
