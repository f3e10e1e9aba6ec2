"""Certificates for the way to a store, as `--cluster-store-opt` names them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.model.errors import Invalid

AUTHORITY, CERTIFICATE, KEY = "kv.cacertfile", "kv.certfile", "kv.keyfile"


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files: whom to trust, and who we are (both empty: nobody in particular)."""

    authority: str
    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        """What asyncio wants. Raises Invalid if a file is no use."""
        path = self.authority
        try:
            context = ssl.create_default_context(cafile=self.authority or None)
            if self.certificate:
                path = self.certificate
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(
                f"the cluster's store cannot be reached by TLS with {path}: "
                f"{error.strerror or error}",
                hint="kv.cacertfile, kv.certfile and kv.keyfile name PEM files",
            ) from error
        return context


def files(options: Mapping[str, str]) -> Files | None:
    """The files that options name; None if they name none, and TLS is not wanted."""
    named = {key: options.get(key, "") for key in (AUTHORITY, CERTIFICATE, KEY)}
    if not any(named.values()):
        return None
    if bool(named[CERTIFICATE]) != bool(named[KEY]):
        raise Invalid(
            f"{CERTIFICATE} and {KEY} belong together, and only one of them is given",
            hint="the one is the certificate of this host, the other its key",
        )
    return Files(*named.values())
