"""run, exec, attach and start, with a container that is a Python function."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli import oracle
from tests.cli.container import CONTAINER, EXEC, Container, frame
from tests.cli.recorder import Answer

if TYPE_CHECKING:
    from tests.cli.conftest import Fairlead
    from tests.cli.recorder import Recorder

PATIENCE_SECONDS = 90
MEBIBYTE = 1024 * 1024


def hello(_reader: Any, writer: Any) -> int:
    """Says something on both streams and exits with 3."""
    writer.write(frame(1, b"out\n") + frame(2, b"err\n"))
    return 3


def cat(reader: Any, writer: Any) -> int:
    """Gives back what it gets, and says when that ended."""
    while data := reader.read1(65536):
        writer.write(frame(1, data))
    writer.write(frame(1, b"<end>"))
    return 0


def raw(_reader: Any, writer: Any) -> int:
    """What a program on a terminal prints."""
    writer.write(b"raw\r\n")
    return 7


@pytest.mark.parametrize(
    ("args", "program", "stdin"),
    [
        (("run", "image"), hello, b""),
        (("run", "--rm", "image", "true"), hello, b""),
        (("run", "-i", "image"), cat, b"hi there"),
        (("run", "-i", "image"), cat, b""),
        (("run", "image"), cat, b"not for the container"),
        (("start", "-a", "web"), hello, b""),
        (("start", "-ai", "web"), cat, b"zz"),
    ],
)
def test_run_talks_as_docker_does(
    process: Fairlead,
    docker: Fairlead,
    recorder: Recorder,
    args: tuple[str, ...],
    program: Any,
    stdin: bytes,
) -> None:
    """The same requests in the same order, the same output on each stream, the same status."""
    Container(recorder, program)
    theirs = docker(*args, stdin=stdin)
    Container(recorder, program)
    assert process(*args, stdin=stdin) == theirs


def test_the_containers_status_is_ours(process: Fairlead, recorder: Recorder) -> None:
    """stdout and stderr come out apart, and the exit status is the program's."""
    Container(recorder, hello)
    said = process("run", "image")
    assert (said.out, said.err, said.status) == ("out\n", "err\n", 3)


def test_a_terminals_output_is_not_in_frames(process: Fairlead, recorder: Recorder) -> None:
    """With -t the bytes are passed on as they come."""
    Container(recorder, raw, tty=True)
    said = process("run", "-t", "image")
    assert (said.out, said.status) == ("raw\r\n", 7)


def test_much_goes_through(process: Fairlead, recorder: Recorder) -> None:
    """16 MiB through cat come back whole."""
    Container(recorder, cat)
    sent = b"0123456789abcdef" * MEBIBYTE
    said = process("run", "-i", "image", stdin=sent)
    assert said.out.encode() == sent + b"<end>"


def test_detached_prints_the_id(process: Fairlead, recorder: Recorder) -> None:
    """-d starts the container, prints its id and leaves."""
    Container(recorder, hello)
    said = process("run", "-d", "image")
    assert (said.out, said.status) == (CONTAINER + "\n", 0)
    assert recorder.find("POST", f"/containers/{CONTAINER}/attach") == []


def test_a_missing_image_is_pulled(process: Fairlead, recorder: Recorder) -> None:
    """run pulls what is not here, tells of it on stderr, and goes on."""
    Container(recorder, hello)
    here: list[bool] = []

    def create(_request: object) -> Answer:
        if not here:
            return Answer({"message": "No such image: image:latest"}, 404)
        return Answer({"Id": CONTAINER, "Warnings": []}, 201)

    def pull(_request: object) -> Answer:
        here.append(True)
        lines = [{"status": "Pulling from image", "id": "latest"}, {"status": "Done"}]
        return Answer(b"".join(b'{"status": "%s"}\n' % x["status"].encode() for x in lines))

    recorder.answers["POST /containers/create"] = create
    recorder.answers["POST /images/create"] = pull
    said = process("run", "image")
    assert (said.out, said.status) == ("out\n", 3)
    assert said.err.splitlines()[:2] == [
        "Unable to find image 'image:latest' locally",
        "Pulling from image",
    ]
    query = recorder.find("POST", "/images/create")[0].query
    assert query == {"fromImage": "image", "tag": "latest"}


def test_never_pulling_is_kept(process: Fairlead, recorder: Recorder) -> None:
    """--pull never leaves a missing image missing."""
    no_image = Answer({"message": "No such image: image:latest"}, 404)
    recorder.answers["POST /containers/create"] = no_image
    said = process("run", "--pull", "never", "image")
    assert said.status == 125
    assert said.err == "fairlead: Error response from daemon: No such image: image:latest\n"


def test_a_failing_pull_is_told(process: Fairlead, recorder: Recorder) -> None:
    """An error in the middle of a pull ends the run with the registry's words."""
    recorder.answers["POST /containers/create"] = Answer({"message": "No such image: x"}, 404)
    recorder.answers["POST /images/create"] = Answer(
        b'{"status":"Pulling"}\n{"errorDetail":{"message":"denied"},"error":"denied"}\n'
    )
    said = process("run", "-q", "x")
    assert (said.status, said.err) == (125, "fairlead: Error response from daemon: denied\n")


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ('exec: "nosuch": executable file not found in $PATH: unknown', 127),
        ('exec: "/nosuch": stat /nosuch: no such file or directory', 127),
        ('exec: "/etc": permission denied', 126),
        ('exec: "/etc": is a directory: permission denied', 126),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", 125),
    ],
)
def test_why_a_start_failed_is_in_the_status(
    process: Fairlead, recorder: Recorder, message: str, status: int
) -> None:
    """127: no such program; 126: it cannot be run; 125: the container could not be made."""
    Container(recorder, hello)
    refusal = Answer({"message": message, "hint": "look here"}, 500)
    recorder.answers[f"POST /containers/{CONTAINER}/start"] = refusal
    said = process("run", "image")
    assert said.status == status
    expected = f"fairlead: Error response from daemon: {message}\nhint: look here\n"
    assert said.err == expected


def test_typing_needs_a_terminal(process: Fairlead, recorder: Recorder) -> None:
    """-it without a terminal is refused before anything is made."""
    Container(recorder, hello)
    said = process("run", "-it", "image")
    assert (said.status, said.err, said.asked) == (1, "the input device is not a TTY\n", ())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_signals_go_to_the_container(recorder: Recorder, name: str) -> None:
    """A signal sent to `fairlead run` is sent on, and the container decides what follows."""
    container = Container(recorder, lambda _reader, _writer: 0)

    def until_signalled(_reader: Any, writer: Any) -> int:
        writer.write(frame(1, b"ready\n"))
        container.signalled.wait(PATIENCE_SECONDS)
        return 42

    container.program = until_signalled
    with _started(recorder, ["run", "image"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.Signals[name])
        assert process.wait(PATIENCE_SECONDS) == 42
    sent = recorder.find("POST", f"/containers/{CONTAINER}/kill")
    assert [request.query for request in sent] == [{"signal": name.removeprefix("SIG")}]


@pytest.mark.parametrize(
    ("args", "stdin"),
    [
        (("exec", "web", "ls", "-la"), b""),
        (("exec", "-i", "-e", "A=b", "-u", "1", "-w", "/x", "--privileged", "web", "cat"), b"zz"),
        (("exec", "-t", "web", "ls"), b""),
    ],
)
def test_exec_talks_as_docker_does(
    process: Fairlead, docker: Fairlead, recorder: Recorder, args: tuple[str, ...], stdin: bytes
) -> None:
    """exec sends what Docker's client sends, but for a look at the container beforehand."""
    program = raw if "-t" in args else cat if stdin else hello
    Container(recorder, program, tty="-t" in args)
    ours = process(*args, stdin=stdin)
    theirs = docker(*args, stdin=stdin)
    assert (ours.out, ours.err, ours.status) == (theirs.out, theirs.err, theirs.status)
    look: tuple[Any, ...] = ("GET", "/containers/web/json", {}, None)
    assert list(ours.asked) == [each for each in theirs.asked if each != look]


def test_exec_in_the_background(process: Fairlead, recorder: Recorder) -> None:
    """exec -d starts the process and leaves."""
    Container(recorder, hello)
    recorder.answers[f"POST /exec/{EXEC}/start"] = Answer(status=200)
    said = process("exec", "-d", "web", "ls")
    assert (said.status, said.out) == (0, "")
    start = recorder.find("POST", f"/exec/{EXEC}/start")[0]
    assert start.json == {"Detach": True, "Tty": False}


def test_attach_joins_a_running_container(process: Fairlead, recorder: Recorder) -> None:
    """attach shows what comes and ends with the container's status."""
    Container(recorder, hello, running=True)
    said = process("attach", "web")
    assert (said.out, said.err, said.status) == ("out\n", "err\n", 3)


def test_attach_refuses_a_stopped_one(process: Fairlead, recorder: Recorder) -> None:
    """A container that does not run has nothing to attach to."""
    Container(recorder, hello)
    stopped = {"Id": CONTAINER, "State": {"Running": False}, "Config": {}}
    recorder.answers["GET /containers/web/json"] = stopped
    said = process("attach", "web")
    assert said.status == 1
    assert said.err == "cannot attach to a stopped container, start it first\n"


def test_logs_are_split(process: Fairlead, recorder: Recorder) -> None:
    """logs puts each stream where it belongs, and asks for what the options say."""
    Container(recorder, hello)
    said = process("logs", "-n", "5", "-t", "--since", "100", "web")
    assert (said.out, said.err, said.status) == ("out\n", "err\n", 0)
    query = recorder.find("GET", "/containers/web/logs")[0].query
    wanted = {"stdout": "1", "stderr": "1", "tail": "5", "timestamps": "1", "since": "100"}
    assert query == wanted


def test_a_terminal_is_raw_resized_and_restored(recorder: Recorder) -> None:
    """With -it keys arrive as typed, the size follows, and afterwards all is as it was."""
    modes: list[list[Any]] = []
    controller, terminal = pty.openpty()

    def echo(reader: Any, writer: Any) -> int:
        writer.write(b"ready")
        writer.flush()
        typed = reader.read(3)
        modes.append(termios.tcgetattr(terminal))
        writer.write(b"<" + typed + b">")
        return 5

    Container(recorder, echo, tty=True)
    termios.tcsetwinsize(terminal, (33, 101))
    before = termios.tcgetattr(terminal)
    try:
        with _started(recorder, ["run", "-it", "image"], terminal) as process:
            _read_until(controller, b"ready")
            os.write(controller, b"a\x03\r")
            shown = _read_until(controller, b">")
            assert process.wait(PATIENCE_SECONDS) == 5
        after = termios.tcgetattr(terminal)
    finally:
        os.close(controller)
        os.close(terminal)
    # ctrl-c was a key and no signal, return was no newline, and nothing was echoed twice.
    assert b"<a\x03\r>" in shown
    assert not modes[0][3] & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert after == before
    sizes = recorder.find("POST", f"/containers/{CONTAINER}/resize")
    assert sizes[0].query == {"h": "33", "w": "101"}
    created = recorder.find("POST", "/containers/create")[0].json
    assert created["HostConfig"]["ConsoleSize"] == [33, 101]


def test_a_new_size_is_passed_on(recorder: Recorder) -> None:
    """When the window changes, the container's terminal changes with it."""
    controller, terminal = pty.openpty()

    def wait_for_key(reader: Any, writer: Any) -> int:
        writer.write(b"ready")
        writer.flush()
        reader.read(1)
        return 0

    Container(recorder, wait_for_key, tty=True)
    try:
        with _started(recorder, ["run", "-it", "image"], terminal) as process:
            _read_until(controller, b"ready")
            termios.tcsetwinsize(controller, (50, 132))
            process.send_signal(signal.SIGWINCH)
            path = f"/containers/{CONTAINER}/resize"
            _wait_until(lambda: len(recorder.find("POST", path)) > 1)
            os.write(controller, b"q")
            assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        os.close(controller)
        os.close(terminal)
    assert recorder.find("POST", path)[-1].query == {"h": "50", "w": "132"}


def test_ctrl_p_ctrl_q_leaves_it_running(recorder: Recorder) -> None:
    """The detach keys end our command with 0, and the container hears nothing of them."""
    heard: list[bytes] = []
    controller, terminal = pty.openpty()

    def listen(reader: Any, writer: Any) -> int:
        writer.write(b"ready")
        writer.flush()
        heard.append(reader.read())
        return 9

    Container(recorder, listen, tty=True)
    before = termios.tcgetattr(terminal)
    try:
        with _started(recorder, ["run", "-it", "image"], terminal) as process:
            _read_until(controller, b"ready")
            os.write(controller, b"ab\x10\x11")
            assert process.wait(PATIENCE_SECONDS) == 0
        assert termios.tcgetattr(terminal) == before
    finally:
        os.close(controller)
        os.close(terminal)
    _wait_until(lambda: bool(heard))
    assert heard == [b"ab"]


def _started(
    recorder: Recorder, args: list[str], terminal: int | None = None
) -> subprocess.Popen[bytes]:
    """Start fairlead without waiting for it, on a terminal or on pipes."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    if terminal is not None:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    env = {**os.environ, "DOCKER_HOST": recorder.host}
    return subprocess.Popen([*oracle.FAIRLEAD, *args], env=env, **streams)


def _read_until(controller: int, end: bytes) -> bytes:
    """What the terminal shows, up to these bytes."""
    shown = b""
    while end not in shown:
        ready, _, _ = select.select([controller], [], [], PATIENCE_SECONDS)
        assert ready, f"only {shown!r} was shown"
        shown += os.read(controller, 1024)
    return shown


def _wait_until(true: Any) -> None:
    """Wait for something another thread does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
