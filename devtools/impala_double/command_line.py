"""
A coordinator as a process of its own.

    python -m devtools.impala_double --metastore HOST:PORT [--port N] [--impala-version V]
        [--webhdfs PORT]                                 for tables on HDFS: the port of the NameNode's web service
        [--certificate FILE --key FILE]                  TLS
        [--user NAME --password-file FILE]               a name and a password, as PLAIN and LDAP clients send them
        [--kerberos-service impala@HOST]                 Kerberos, with the service's key in the keytab KRB5_KTNAME
"""

from __future__ import annotations

import argparse
import getpass
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devtools.impala_double.metastore_catalog import ThriftMetastoreCatalog
from devtools.impala_double.sasl import Kerberos
from devtools.impala_double.server import DEFAULT_VERSION
from devtools.impala_double.storage import HdfsStorage, LocalStorage
from devtools.webhdfs import WebHdfs


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """Parses the command line. Exits with 2 when options do not fit together."""
    parser = argparse.ArgumentParser(
        prog="python -m devtools.impala_double", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--metastore", required=True, metavar="HOST:PORT", help="Hive metastore server to ask")
    parser.add_argument("--port", type=int, default=21050, help="port on the loopback interface; 0 takes a free one")
    parser.add_argument("--impala-version", default=DEFAULT_VERSION, help="version to be (default: %(default)s)")
    parser.add_argument("--webhdfs", type=int, metavar="PORT", help="NameNode's web service on this machine")
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="in PEM, with what its chain needs")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the certificate's, in PEM")
    parser.add_argument("--user", metavar="NAME", help="the one user who is let in")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="its password; a newline at the end is none")
    parser.add_argument("--kerberos-service", metavar="impala@HOST", help="whose key is in KRB5_KTNAME")
    found = parser.parse_args(words)
    if (found.certificate is None) != (found.key is None):
        parser.error("--certificate and --key belong together")
    if (found.user is None) != (found.password_file is None):
        parser.error("--user and --password-file belong together")
    if found.user is not None and found.kerberos_service is not None:
        parser.error("--user and --kerberos-service exclude each other")
    return found


def keywords(options: argparse.Namespace, copies: Path) -> dict[str, Any]:
    """Returns the keyword arguments for ``ImpalaDouble``. Files read from HDFS are kept in ``copies``."""
    host, _, port = options.metastore.rpartition(":")
    made: dict[str, Any] = {
        "catalog": ThriftMetastoreCatalog(host, int(port)),
        "storage": LocalStorage(),
        "port": options.port,
        "version": options.impala_version,
    }
    if options.webhdfs is not None:
        made["storage"] = HdfsStorage(WebHdfs(options.webhdfs, getpass.getuser()), copies)
    if options.certificate is not None:
        made["tls"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made["tls"].load_cert_chain(options.certificate, options.key)
    if options.user is not None:
        made["users"] = {options.user: options.password_file.read_text(encoding="utf-8").rstrip("\n")}
    if options.kerberos_service is not None:
        made["mechanism"] = Kerberos(options.kerberos_service)
    return made
