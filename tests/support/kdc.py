"""
A Kerberos realm for the tests: MIT's KDC on a loopback port, with its database in a directory of the test session.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from devtools.daemons import free_ports

REALM = "TEST.EXAMPLE"
PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit", "faketime")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"

_CLIENT = """
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  kdc_timesync = {timesync}
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  localhost = {realm}
"""
_SERVER = """
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {directory}/principal
    key_stash_file = {directory}/stash
    default_principal_flags = +preauth
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }}
[logging]
  kdc = FILE:{directory}/kdc.log
"""


def missing() -> list[str]:
    """Returns what a realm needs and this machine lacks."""
    lacking = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    return lacking + ["the Python package kerberos"] * (importlib.util.find_spec("kerberos") is None)


def require_realm() -> None:
    """Skips the test where no realm can be made, or fails it if TRAFFIC_AGGR_REQUIRE_KERBEROS is 1."""
    lacking = missing()
    if not lacking:
        return
    reason = f"no Kerberos realm without {', '.join(lacking)}"
    if os.environ.get("TRAFFIC_AGGR_REQUIRE_KERBEROS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class Kdc:
    """A KDC for ``REALM``. ``environment`` makes a process a member of the realm."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_ports(1)[0]
        (directory / "kdc.conf").write_text(_SERVER.format(realm=REALM, port=self.port, directory=directory))
        self.environment = {
            "KRB5_CONFIG": str(self.client_config("krb5.conf", self.port)),
            "KRB5_KDC_PROFILE": str(directory / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{directory}/no-ticket",
            "KRB5RCACHENAME": "none:",
        }
        self._run("kdb5_util", "-r", REALM, "create", "-s", "-P", "of no worth")
        kdc = shutil.which("krb5kdc", path=PATH)
        self._process = subprocess.Popen([str(kdc), "-n"], env=self._environment(), stdout=subprocess.DEVNULL)
        self._wait_until_it_listens()

    def client_config(self, name: str, port: int, *, timesync: int = 1) -> Path:
        """Writes a configuration for clients of a KDC at ``port``. With ``timesync`` 0 they trust their own clock."""
        path = self.directory / name
        path.write_text(_CLIENT.format(realm=REALM, port=port, timesync=timesync))
        return path

    def principal(self, name: str) -> Path:
        """Creates a principal, and returns a keytab with its key."""
        self.admin(f"addprinc -randkey {name}")
        return self.keytab(name)

    def keytab(self, name: str) -> Path:
        """Returns a keytab with a new key of the principal, which invalidates its earlier keytabs."""
        number = len(list(self.directory.glob("*.keytab")))
        path = self.directory / f"{name.replace('/', '-')}-{number}.keytab"
        self.admin(f"ktadd -k {path} {name}")
        return path

    def ticket(self, principal: str, keytab: Path, lifetime: str = "1h") -> str:
        """Creates a ticket cache as kinit does for a user, and returns the value of KRB5CCNAME."""
        cache = f"FILE:{keytab}.{lifetime}.cache"
        self._run("kinit", "-k", "-t", str(keytab), "-l", lifetime, "-c", cache, principal)
        return cache

    def admin(self, query: str) -> None:
        """Runs one command of kadmin."""
        self._run("kadmin.local", "-r", REALM, "-q", query)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment, "PATH": PATH}

    def _run(self, *command: str) -> None:
        subprocess.run(command, env=self._environment(), check=True, capture_output=True, timeout=60)

    def _wait_until_it_listens(self) -> None:
        for _ in range(500):
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("the KDC does not listen")
