"""The attach stream: frames, detach keys, and bytes both ways."""

from __future__ import annotations

import os
import socket
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cli.stream import Demultiplexer, DetachKeys, converse, key_sequence
from tests.cli.container import frame

FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=10)


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 400), max_size=10))
def test_frames_survive_any_cutting(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """However the stream is cut in pieces, each descriptor gets its bytes in order."""
    stream = b"".join(frame(target, data) for target, data in frames)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    split = Demultiplexer()
    got = {1: b"", 2: b""}
    for start, end in pairwise(edges):
        for target, data in split.feed(stream[start:end]):
            got[target] += data
    for target in (1, 2):
        assert got[target] == b"".join(data for to, data in frames if to == target)


def test_a_frame_is_shown_before_it_is_whole() -> None:
    """A long frame does not wait for its end."""
    assert list(Demultiplexer().feed(frame(1, b"hello")[:-2])) == [(1, b"hel")]


@given(chunks=st.lists(st.binary(max_size=6)), keys=st.sampled_from([b"\x10\x11", b"ab", b"aa"]))
def test_input_without_the_keys_passes_untouched(chunks: list[bytes], keys: bytes) -> None:
    """Nothing typed is lost or repeated unless it is the whole sequence."""
    watch, passed, typed = DetachKeys(keys), b"", b""
    for chunk in chunks:
        data, detached = watch.filter(chunk)
        passed, typed = passed + data, typed + chunk
        if detached:
            before = typed[: typed.index(keys)]
            assert passed == before
            return
    # A beginning of the sequence may still be held back.
    held = typed[len(passed) :]
    assert typed.startswith(passed)
    assert keys.startswith(held)


@pytest.mark.parametrize(
    ("text", "keys"),
    [("ctrl-p,ctrl-q", b"\x10\x11"), ("a,ctrl-@", b"a\x00"), ("", b""), ("ctrl-[", b"\x1b")],
)
def test_detach_keys_are_named(text: str, keys: bytes) -> None:
    """Keys are written as Docker writes them."""
    assert key_sequence(text) == keys


def test_an_unknown_key_is_refused() -> None:
    """A key nobody has is named in the refusal."""
    with pytest.raises(ValueError, match="Unknown character: 'shift-p'"):
        key_sequence("ctrl-p,shift-p")


def test_the_end_of_input_is_not_the_end_of_output(capfd: pytest.CaptureFixture[str]) -> None:
    """After our input has ended, what the other side still says is printed."""
    ours, theirs = socket.socketpair()
    out, into = os.pipe()
    os.write(into, b"question")
    os.close(into)

    def answer() -> None:
        with theirs:
            heard = b""
            while data := theirs.recv(100):
                heard += data
            theirs.sendall(frame(1, b"heard " + heard) + frame(2, b"bye"))

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        assert converse(ours, tty=False, stdin=out) == "ended"
    finally:
        thread.join()
        os.close(out)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("heard question", "bye")


def test_a_peer_that_reads_late_gets_everything(capfd: pytest.CaptureFixture[str]) -> None:
    """More than both sockets can hold goes through, although the peer first only writes."""
    size = 4 * 1024 * 1024
    ours, theirs = socket.socketpair()
    out, into = os.pipe()
    got: list[int] = []

    def type_it() -> None:
        with os.fdopen(into, "wb") as file:
            file.write(b"x" * size)

    def write_then_read() -> None:
        with theirs:
            theirs.sendall(frame(1, b"y" * size))
            total = 0
            while data := theirs.recv(65536):
                total += len(data)
            got.append(total)

    threads = [threading.Thread(target=each) for each in (type_it, write_then_read)]
    for thread in threads:
        thread.start()
    try:
        assert converse(ours, tty=False, stdin=out) == "ended"
    finally:
        for thread in threads:
            thread.join()
        os.close(out)
    assert got == [size]
    assert len(capfd.readouterr().out) == size


def test_detaching_leaves_the_peer_running() -> None:
    """The detach keys end the conversation at once; what was typed before them arrives."""
    ours, theirs = socket.socketpair()
    out, into = os.pipe()
    os.write(into, b"ls\n\x10\x11")
    with theirs:
        assert converse(ours, tty=True, stdin=out, detach_keys=b"\x10\x11") == "detached"
        assert theirs.recv(100) == b"ls\n"
    os.close(into)
    os.close(out)
