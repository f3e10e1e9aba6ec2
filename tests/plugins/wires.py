"""A plugin as others write them: bridges and cables made with `ip`, addresses from a list.

It runs by itself and knows nothing of fairlead. Every call is appended to a log, one JSON
text a line; before it answers it looks into a file of faults that a test may write:

    {"NetworkDriver.Join": {"hold": true}}                    answers when the fault is gone
    {"NetworkDriver.Join": {"status": 404}}                   does not know the call
    {"NetworkDriver.Join": {"answer": {"Err": "no"}}}         says something else
    {"NetworkDriver.Join": {"merge": {"Gateway": "x"}}}       changes what it would say
    {"NetworkDriver.Join": {"raw": "…"}}                      says anything at all
    {"NetworkDriver.Join": {"huge": 5000000}}                 talks too much
    {"NetworkDriver.Join": {"redirect": "http://…"}}          sends the asker elsewhere
    {"NetworkDriver.Join": {"die": true}}                     dies instead

One of scope `global` shares its STATE with those on other hosts. It makes a network's bridge
where somebody is on it, with a VXLAN device for which the segment is the way.

Run as: wires.py SOCKET|PORT LOG FAULTS [SCOPE [STATE [CERT KEY]]]
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, NoReturn

Json = dict[str, Any]

WHERE, LOG, FAULTS, SCOPE, STATE, *TLS = [*sys.argv[1:], *["local", ""][len(sys.argv) - 4 :]]
LOCK = threading.Lock()
state: Json = {"networks": {}, "endpoints": {}, "pools": {}, "next": 0}
here: dict[str, str] = {}
"""The endpoints of this host, and their networks."""


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def ip(*words: str) -> None:
    run("ip", *words)


def rules(verb: str, bridge: str, datas: list[Json]) -> None:
    """What Docker's own driver does for its bridges, this one has to do for its."""
    for one in ("-i", "-o"):
        run("iptables", verb, "FORWARD", one, bridge, "-j", "ACCEPT")
    for data in datas:
        out = ("-s", data["Pool"], "!", "-o", bridge, "-j", "MASQUERADE")
        run("iptables", "-t", "nat", verb, "POSTROUTING", *out)


def refuse(text: str) -> NoReturn:
    raise RuntimeError(text)


def capabilities(_: Json) -> Json:
    return {"Scope": SCOPE, "ConnectivityScope": SCOPE}


def create_network(ask: Json) -> None:
    id_ = ask["NetworkID"]
    if id_ in state["networks"]:
        refuse("network exists")
    state["networks"][id_] = ask
    if SCOPE != "global":
        build(ask)


def build(ask: Json) -> None:
    bridge = f"pb-{ask['NetworkID'][:8]}"
    ip("link", "add", bridge, "type", "bridge")
    for data in ask["IPv4Data"] + ask["IPv6Data"]:
        if data.get("Gateway"):
            ip("address", "add", data["Gateway"], "dev", bridge)
    ip("link", "set", bridge, "up")
    rules("-I", bridge, ask["IPv4Data"])
    if SCOPE == "global":
        between = f"px-{ask['NetworkID'][:8]}"
        wire = ("id", str(int(ask["NetworkID"][:5], 16)), "dstport", "4790")
        ip("link", "add", between, "type", "vxlan", *wire, "group", "239.9.9.9", "dev", "eth0")
        ip("link", "set", between, "master", bridge, "up")


def tear(net: Json) -> None:
    bridge = f"pb-{net['NetworkID'][:8]}"
    rules("-D", bridge, net["IPv4Data"])
    ip("link", "delete", bridge)
    if SCOPE == "global":
        ip("link", "delete", f"px-{net['NetworkID'][:8]}")


def delete_network(ask: Json) -> None:
    net = state["networks"].pop(ask["NetworkID"], None)
    if net is None:
        refuse("no such network")
    if SCOPE != "global":
        tear(net)


def create_endpoint(ask: Json) -> Json:
    id_ = ask["EndpointID"]
    if SCOPE == "global" and ask["NetworkID"] not in here.values():
        build(state["networks"][ask["NetworkID"]])
    here[id_] = ask["NetworkID"]
    state["endpoints"][id_] = ask
    outside, inside = f"po-{id_[:8]}", f"pi-{id_[:8]}"
    ip("link", "add", outside, "type", "veth", "peer", "name", inside)
    ip("link", "set", outside, "master", f"pb-{ask['NetworkID'][:8]}", "up")
    return {"Interface": {}}


def delete_endpoint(ask: Json) -> None:
    if state["endpoints"].pop(ask["EndpointID"], None) is None:
        refuse("no such endpoint")
    # Whoever lends a link finds it at home again.
    ip("link", "show", f"pi-{ask['EndpointID'][:8]}")
    ip("link", "delete", f"po-{ask['EndpointID'][:8]}")
    net = here.pop(ask["EndpointID"], "")
    if SCOPE == "global" and net not in here.values():
        tear(state["networks"][net])


def join(ask: Json) -> Json:
    net = state["networks"][ask["NetworkID"]]
    options = net["Options"]["com.docker.network.generic"]
    said = {
        "InterfaceName": {
            "SrcName": f"pi-{ask['EndpointID'][:8]}",
            "DstPrefix": options.get("prefix", "eth"),
        }
    }
    if options.get("way") != "none":
        for key, datas in (("Gateway", net["IPv4Data"]), ("GatewayIPv6", net["IPv6Data"])):
            for data in datas:
                if data.get("Gateway"):
                    said[key] = data["Gateway"].split("/")[0]
    if "routes" in options:
        said["StaticRoutes"] = json.loads(options["routes"])
    return said


def info(ask: Json) -> Json:
    return {"Value": {"wire": f"po-{ask['EndpointID'][:8]}"}}


def spaces(_: Json) -> Json:
    return {"LocalDefaultAddressSpace": "here", "GlobalDefaultAddressSpace": "there"}


def request_pool(ask: Json) -> Json:
    subnet = ask["Pool"]
    if not subnet:
        number = state["next"] = state["next"] + 1
        subnet = f"fd77:{number:x}::/64" if ask["V6"] else f"10.77.{number}.0/24"
    id_ = f"pool-{subnet}"
    if id_ in state["pools"]:
        refuse("pool is taken")
    state["pools"][id_] = {"subnet": subnet, "taken": []}
    return {"PoolID": id_, "Pool": subnet}


def release_pool(ask: Json) -> None:
    if state["pools"][ask["PoolID"]]["taken"]:
        refuse("pool has addresses")
    del state["pools"][ask["PoolID"]]


def request_address(ask: Json) -> Json:
    pool = state["pools"][ask["PoolID"]]
    subnet = ipaddress.ip_network(pool["subnet"])
    wanted = ask["Address"] or next(str(a) for a in subnet.hosts() if str(a) not in pool["taken"])
    if wanted in pool["taken"]:
        refuse("address is taken")
    pool["taken"].append(wanted)
    return {"Address": f"{wanted}/{subnet.prefixlen}"}


def release_address(ask: Json) -> None:
    state["pools"][ask["PoolID"]]["taken"].remove(ask["Address"])


def nothing(_: Json) -> Json:
    return {}


CALLS: dict[str, Callable[[Json], Json | None]] = {
    "Plugin.Activate": lambda _: {"Implements": ["NetworkDriver", "IpamDriver"]},
    "NetworkDriver.GetCapabilities": capabilities,
    "NetworkDriver.CreateNetwork": create_network,
    "NetworkDriver.DeleteNetwork": delete_network,
    "NetworkDriver.CreateEndpoint": create_endpoint,
    "NetworkDriver.DeleteEndpoint": delete_endpoint,
    "NetworkDriver.EndpointOperInfo": info,
    "NetworkDriver.Join": join,
    "NetworkDriver.Leave": nothing,
    "NetworkDriver.DiscoverNew": nothing,
    "NetworkDriver.DiscoverDelete": nothing,
    "NetworkDriver.ProgramExternalConnectivity": nothing,
    "NetworkDriver.RevokeExternalConnectivity": nothing,
    "IpamDriver.GetCapabilities": lambda _: {"RequiresRequestReplay": True},
    "IpamDriver.GetDefaultAddressSpaces": spaces,
    "IpamDriver.RequestPool": request_pool,
    "IpamDriver.ReleasePool": release_pool,
    "IpamDriver.RequestAddress": request_address,
    "IpamDriver.ReleaseAddress": release_address,
}


def faults(call: str) -> Json:
    try:
        with open(FAULTS) as file:
            found: Json = json.load(file).get(call, {})
            return found
    except FileNotFoundError:
        return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        call = self.path[1:]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        ask = json.loads(body) if body else {}
        with LOCK, open(LOG, "a") as log:
            log.write(json.dumps([call, ask, self.headers.get("Accept")]) + "\n")
        fault = faults(call)
        if fault.get("die"):
            os._exit(1)
        while fault.get("hold"):
            time.sleep(0.05)
            fault = faults(call)
        self.answer(call, ask, fault)

    def answer(self, call: str, ask: Json, fault: Json) -> None:
        if "redirect" in fault:
            self.say(307, b"", fault["redirect"])
        elif "status" in fault:
            self.say(fault["status"], b"page not found")
        elif "raw" in fault:
            self.say(200, fault["raw"].encode())
        elif "huge" in fault:
            self.tell({"Err": "x" * fault["huge"]})
        elif "answer" in fault:
            self.tell(fault["answer"])
        else:
            self.tell({**self.done(call, ask), **fault.get("merge", {})})

    def done(self, call: str, ask: Json) -> Json:
        try:
            with LOCK, alone():
                said = CALLS[call](ask) or {}
                save()
        except KeyError as error:
            return {"Err": f"unknown: {error}"}
        except subprocess.CalledProcessError as error:
            return {"Err": f"{error.cmd}: {error.stderr.decode()}"}
        except (RuntimeError, ValueError) as error:
            return {"Err": str(error)}
        return said

    def tell(self, said: Json) -> None:
        self.say(200, json.dumps(said).encode())

    def say(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:
        pass


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else changes what those of several hosts share."""
    if SCOPE != "global" or not STATE:
        yield
        return
    with open(f"{STATE}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        load()
        yield


def load() -> None:
    if STATE and os.path.exists(STATE):
        with open(STATE) as file:
            state.update(json.load(file))


def save() -> None:
    if STATE:
        with open(STATE, "w") as file:
            json.dump(state, file)


class TcpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self) -> tuple[socket.socket, Any]:
        request, _ = super().get_request()
        return request, ("unix", 0)


load()
if WHERE.startswith("/"):
    if os.path.exists(WHERE):
        os.unlink(WHERE)
    server: socketserver.BaseServer = UnixServer(WHERE, Handler)
else:
    tcp = TcpServer(("127.0.0.1", int(WHERE)), Handler)
    server = tcp
    if TLS:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*TLS)
        tcp.socket = context.wrap_socket(tcp.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
