"""What a runtime says when it cannot run something, in Docker's words. Pure.

Programs tell "no such command" (127) from "not executable" (126) by matching
Docker's text, which is runc's text with two prefixes. crun says the same things
differently, so both are read here and only one form leaves.
"""

from __future__ import annotations

import re

from fairlead.model.errors import Failed, FairleadError, Invalid

CREATE = (
    "failed to create task for container: failed to create shim task: "
    "OCI runtime create failed: runc create failed: "
)
EXEC = "OCI runtime exec failed: exec failed: "
_START = "unable to start container process: "

_NOT_FOUND = re.compile(r"executable file .*not found in \$PATH|no such file or directory", re.I)
_DRESS = re.compile(r"^(runc create failed|exec failed): ")
_NO_CWD = re.compile(r"chdir|cwd|working directory", re.I)
_NOT_EXECUTABLE = re.compile(
    r"open executable: |: permission denied|is a directory|exec format error", re.I
)


class CannotRun(Invalid):
    """The program in question could not be started."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def said(complaint: str) -> str:
    """A runtime's complaint without the dress of its log around it."""
    _, logged, message = complaint.partition('level=error msg="')
    plain = message.rstrip().rstrip('"').replace('\\"', '"') if logged else complaint
    return _DRESS.sub("", plain.strip())


def refusal(complaint: str, command: str, prefix: str = CREATE) -> FairleadError:
    """The error for what a runtime said while it was to start `command`."""
    words = said(complaint)
    if _about(words, command):
        if _NOT_FOUND.search(words) and "open executable" not in words:
            why = (
                f'exec: "{command}": stat {command}: no such file or directory'
                if "/" in command
                else f'exec: "{command}": executable file not found in $PATH'
            )
            return CannotRun(f"{prefix}{_START}{why}: unknown", 127)
        if _NOT_EXECUTABLE.search(words):
            why = "exec format error" if "format error" in words else "permission denied"
            return CannotRun(f'{prefix}{_START}exec: "{command}": {why}: unknown', 126)
    return Failed(f"{prefix}{words}: unknown")


def _about(words: str, command: str) -> bool:
    if _NO_CWD.search(words) and "executable" not in words:
        return False
    return command in words or "open executable" in words or "format error" in words.lower()
