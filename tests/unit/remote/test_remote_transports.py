# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every transport promises, whatever carries the command."""

import threading
from pathlib import Path

import pytest
from muster.remote import Transport

MEGABYTE = bytes(range(256)) * 4096


def test_bytes_come_through_unchanged_in_both_directions(transport: Transport) -> None:
    reply = transport.run("cat; printf '\\377\\000\\r\\n' >&2", MEGABYTE, 60)
    assert (reply.rc, reply.error) == (0, None)
    assert reply.stdout == MEGABYTE
    assert reply.stderr == b"\xff\x00\r\n"


def test_more_than_any_window_holds_does_not_block(transport: Transport) -> None:
    sent = MEGABYTE * 5
    reply = transport.run("tee /dev/stderr", sent, 60)
    assert (reply.rc, reply.error) == (0, None)
    assert other_than(sent, reply.stdout) is None
    assert other_than(sent, reply.stderr) is None


def other_than(sent: bytes, came: bytes) -> tuple[int, int, bytes] | None:
    """How many bytes came, from which on they are others, and those: megabytes tell nothing in a failure's report."""
    if sent == came:
        return None
    same = next(
        (at for at, (one, other) in enumerate(zip(sent, came, strict=False)) if one != other), min(len(sent), len(came))
    )
    return len(came), same, came[same : same + 300]


@pytest.mark.parametrize("code", [0, 1, 76, 126, 127, 255])
def test_the_exit_code_is_the_commands_own(transport: Transport, code: int) -> None:
    reply = transport.run(f"exit {code}", b"", 60)
    assert (reply.rc, reply.error) == (code, None)


def test_there_is_no_terminal_and_an_empty_stdin_ends_at_once(transport: Transport) -> None:
    reply = transport.run("cat; test -t 0 || test -t 1 || test -t 2 || echo none", b"", 60)
    assert reply.stdout == b"none\n"


def test_a_command_need_not_read_its_stdin(transport: Transport) -> None:
    reply = transport.run("exit 4", MEGABYTE * 5, 60)
    assert (reply.rc, reply.error) == (4, None)


def test_a_command_that_does_not_end_in_time_is_an_error_and_keeps_what_it_printed(transport: Transport) -> None:
    reply = transport.run("echo begun; exec sleep 600", b"", 6)
    assert reply.rc is None
    assert reply.failure == "timeout"
    assert reply.error is not None and reply.error.startswith("n1 (") and "6 s" in reply.error
    assert reply.stdout == b"begun\n"
    assert transport.run("echo again", b"", 60).stdout == b"again\n"


def test_a_command_killed_by_a_signal_is_an_error(transport: Transport) -> None:
    reply = transport.run("kill -KILL $$", b"", 60)
    assert reply.rc is None
    assert reply.error is not None and reply.error.startswith("the command on n1 (")
    assert reply.error.endswith("was killed by a signal")


def test_output_is_handed_over_while_the_command_runs(transport: Transport, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    pieces: list[bytes] = []

    def take(piece: bytes) -> None:
        pieces.append(piece)
        seen.touch()

    reply = transport.run(f"echo one; until [ -e {seen} ]; do sleep 0.05; done; echo two", b"", 60, take)
    assert (reply.rc, reply.stdout) == (0, b"")
    assert b"".join(pieces) == b"one\ntwo\n"


def test_several_threads_share_a_transport_and_closing_it_cuts_none_of_them_off(
    transport: Transport, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    release = tmp_path / "release"
    answers: list[bytes] = []
    waiting = f"touch {begun}; until [ -e {release} ]; do sleep 0.05; done; echo done"
    thread = threading.Thread(target=lambda: answers.append(transport.run(waiting, b"", 60).stdout))
    thread.start()
    reply = transport.run(f"until [ -e {begun} ]; do sleep 0.05; done; echo meanwhile", b"", 60)
    assert reply.stdout == b"meanwhile\n"
    transport.close()
    release.touch()
    thread.join(60)
    assert answers == [b"done\n"]
