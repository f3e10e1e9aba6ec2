"""Certificates for one server and its clients: an authority, and a stranger that is none of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

# $1 is the server's address.
SCRIPT = r"""
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj "/CN=$1" -keyout "$1-key.pem" -out "$1.pem"
}
member() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
        -keyout "$1-key.pem" -out "$1.csr"
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2-key.pem" -CAcreateserial -days 2 \
        -extfile "$1.ext" -out "$1.pem"
}
authority ca
authority stranger-ca
member server ca "IP:$1,IP:127.0.0.1,DNS:localhost"
member client ca "DNS:client"
member stranger stranger-ca "DNS:stranger"
"""


class Certificates:
    """PEM files in a folder: ``ca``, ``server``, ``client``; ``stranger-ca`` and ``stranger``."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        subprocess.run(
            ["sh", "-euc", SCRIPT, "certificates", address],
            check=True, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

    def options(self, *, ca: str = "ca", client: str = "client") -> dict[str, str]:
        """Options of a store that take these, as `--cluster-store-opt` names them."""
        return {
            "kv.cacertfile": str(self.folder / f"{ca}.pem"),
            "kv.certfile": str(self.folder / f"{client}.pem"),
            "kv.keyfile": str(self.folder / f"{client}-key.pem"),
        }
