"""A program in a sandbox: ``python enter.py NAMESPACE ETC PROGRAM [ARGUMENT...]``.

It becomes the program: in the sandbox's network, and in a mount namespace of its own in
which /etc/hosts and /etc/resolv.conf are the sandbox's. Run as a file, so that it starts
without loading the rest of fairlead. Status 125: not entered; 126 and 127 as a shell has them.
"""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
FILES = ("hosts", "resolv.conf")
NOT_ENTERED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127


def command(namespace: str, etc: str, argv: list[str], python: str = sys.executable) -> list[str]:
    """The command that runs another in a sandbox."""
    return [python, "-I", "-S", __file__, namespace, etc, *argv]


def enter(namespace: str, etc: str) -> None:
    """Be in a sandbox from now on. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"{name}: {os.strerror(code)}", namespace)

    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    call("setns", fd, CLONE_NEWNET)
    os.close(fd)
    call("unshare", CLONE_NEWNS)
    # What is mounted here is not to be seen outside; what is mounted outside is seen here.
    call("mount", b"none", b"/", None, MS_REC | MS_SLAVE, None)
    for name in FILES:
        source, target = os.path.join(etc, name), os.path.join("/etc", name)
        # A host that has no such file has no place to put ours over.
        if os.path.exists(source) and os.path.exists(target):
            call("mount", os.fsencode(source), os.fsencode(target), None, MS_BIND, None)


def become(argv: list[str]) -> int:
    """Run a program in place of this one; what a shell would answer if that fails."""
    try:
        os.execvp(argv[0], argv)
    except FileNotFoundError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        return NOT_FOUND
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        return NOT_EXECUTABLE


def main() -> int:
    """What the arguments say."""
    _, namespace, etc, *argv = sys.argv
    try:
        enter(namespace, etc)
    except OSError as error:
        sys.stderr.write(f"the sandbox cannot be entered: {error}\n")
        return NOT_ENTERED
    return become(argv)


if __name__ == "__main__":
    sys.exit(main())
