"""A machine on which programs use the library, each in a process of its own."""

from __future__ import annotations

import json
import sys
from textwrap import dedent
from typing import Any

import pytest

from tests.lab import Machine
from tests.lab.process import Process

FOLDER = "/run/mylab"
HEAR = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as peer:
    print(peer.recv(100).decode())
"""
PREAMBLE = f"""
import asyncio, json, os, signal, subprocess, sys, time
import fairlead

FOLDER = {FOLDER!r}

def tell(value):
    print(json.dumps(value), flush=True)

def eventually(what, seconds=90):
    '''Ask until the answer is true.'''
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)
    return found

def serve(sandbox, port, text):
    '''A program in a sandbox that answers every TCP connection with a text.'''
    program = (
        "import socket, sys\\n"
        "server = socket.create_server(('', int(sys.argv[1])), family=socket.AF_INET6, "
        "dualstack_ipv6=True)\\n"
        "print('ready', flush=True)\\n"
        "while True:\\n"
        "    peer, _ = server.accept()\\n"
        "    peer.sendall(sys.argv[2].encode())\\n"
        "    peer.close()\\n"
    )
    made = sandbox.popen(
        [sys.executable, "-c", program, str(port), text],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    assert made.stdout.readline() == "ready\\n"
    return made

HEAR = {HEAR!r}

def hear(sandbox, host, port):
    '''What a program in a sandbox hears from there; None for silence.'''
    done = sandbox.run([sys.executable, "-c", HEAR, host, str(port)], capture=True)
    return done.stdout.strip() if done.returncode == 0 else None
"""


class Lab:
    """A machine whose programs use the library."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def start(self, program: str) -> Process:
        """Start a program; its output is one stream."""
        return self.machine.popen([sys.executable, "-c", PREAMBLE + dedent(program)])

    def py(self, program: str, timeout: float = 120) -> list[Any]:
        """Run a program to its end; what it told."""
        done = self.machine.run([sys.executable, "-c", PREAMBLE + dedent(program)], timeout=timeout)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def hear(self, host: str, port: int, on: Machine | None = None) -> str | None:
        """What a program on a machine hears from there; None for silence."""
        done = (on or self.machine).run([sys.executable, "-c", HEAR, host, str(port)], check=False)
        return done.stdout.strip() if done.returncode == 0 else None


@pytest.fixture
def lab(machine: Machine) -> Lab:
    """A machine with nothing of fairlead on it yet."""
    return Lab(machine)
