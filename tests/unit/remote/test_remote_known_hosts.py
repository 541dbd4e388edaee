# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading known_hosts as OpenSSH does."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.remote.known_hosts import KnownHosts

from tests.needs import needs

KEY = b"\0\0\0\x0bssh-ed25519"
OTHER = b"\0\0\0\x0bssh-ed25519other"


def line(names: str, key: bytes = KEY, marker: str = "") -> str:
    return f"{marker} {names} ssh-ed25519 {base64.b64encode(key).decode()} a comment\n"


@pytest.mark.parametrize(
    ("names", "name", "known"),
    [
        ("n1", "n1", True),
        ("N1,10.0.0.1", "n1", True),
        ("n1,10.0.0.1", "10.0.0.1", True),
        ("n1", "n10", False),
        ("n?.example.com", "n1.example.com", True),
        ("*.example.com,!n2.example.com", "n1.example.com", True),
        ("*.example.com,!n2.example.com", "n2.example.com", False),
        ("!n2.example.com", "n1.example.com", False),
        ("[n1]:2222", "[n1]:2222", True),
        ("[n1]:2222", "n1", False),
        ("[*.example.com]:2222", "[n1.example.com]:2222", True),
        ("[*.example.com]:2222", "n1.example.com", False),
    ],
)
def test_a_name_is_known_by_its_patterns(names: str, name: str, known: bool) -> None:
    assert KnownHosts([line(names)]).verdict(name, "ssh-ed25519", KEY) == ("known" if known else "unknown")


def test_another_key_of_the_same_type_is_a_change_and_one_of_another_type_is_not() -> None:
    hosts = KnownHosts([line("n1")])
    assert hosts.verdict("n1", "ssh-ed25519", OTHER) == "changed"
    assert hosts.verdict("n1", "ssh-rsa", OTHER) == "unknown"


def test_a_revoked_key_is_never_known() -> None:
    hosts = KnownHosts([line("n1"), line("*", marker="@revoked")])
    assert hosts.verdict("n1", "ssh-ed25519", KEY) == "revoked"
    assert hosts.verdict("n1", "ssh-ed25519", OTHER) == "changed"


def test_the_key_of_an_authority_is_not_the_key_of_a_host() -> None:
    hosts = KnownHosts([line("*", marker="@cert-authority")])
    assert hosts.verdict("n1", "ssh-ed25519", KEY) == "unknown"


@given(st.lists(st.text()))
def test_no_line_whatever_is_in_it_keeps_the_others_from_being_read(lines: list[str]) -> None:
    broken = [each for each in lines if "n1" not in each]
    hosts = KnownHosts([*broken, "|1|not|base64 ssh-ed25519 AAAA", "n1 ssh-ed25519 !!!", line("n1")])
    assert hosts.verdict("n1", "ssh-ed25519", KEY) == "known"


@needs(shutil.which("ssh-keygen") is not None, "there is no ssh-keygen")
def test_names_hashed_by_openssh_are_found(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    kind, text = (tmp_path / "key.pub").read_text().split()[:2]
    path = tmp_path / "known_hosts"
    path.write_text(f"n1,[n2]:2222 {kind} {text}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
    hosts = KnownHosts.read([str(path), str(tmp_path / "absent")])
    verdicts = [hosts.verdict(name, kind, base64.b64decode(text)) for name in ("n1", "[n2]:2222", "n2", "n3")]
    assert verdicts == ["known", "known", "unknown", "unknown"]
