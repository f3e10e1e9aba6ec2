"""What somebody's test suite does with testcontainers, run on a machine; prints what it saw.

Two containers on a network of their own: a page is served by one, fetched by the other by its
alias, and by the suite itself through the port that was published for it.
"""

from __future__ import annotations

import json
import urllib.request

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

SERVE = (
    "mkdir -p /www && echo $WORD >/www/index.html && echo serving && exec httpd -f -p 80 -h /www"
)


def main() -> None:
    """Tells it as JSON."""
    with Network() as network:
        server = (
            DockerContainer("busybox")
            .with_command(["sh", "-c", SERVE])
            .with_env("WORD", "hello")
            .with_exposed_ports(80)
            .with_network(network)
            .with_network_aliases("page")
            .waiting_for(LogMessageWaitStrategy("serving").with_startup_timeout(60))
        )
        client = DockerContainer("busybox").with_command("sleep 1000000").with_network(network)
        with server, client:
            where = f"http://{server.get_container_host_ip()}:{server.get_exposed_port(80)}/"
            fetch = "for i in $(seq 50); do wget -qO- http://page && exit; sleep 0.1; done"
            code, by_alias = client.exec(["sh", "-c", fetch])
            assert isinstance(by_alias, bytes)
            with urllib.request.urlopen(where, timeout=60) as page:
                by_port = page.read().decode()
            logs = server.get_logs()[0].decode()
            found = {"by_port": by_port, "by_alias": by_alias.decode(), "code": code, "logs": logs}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
