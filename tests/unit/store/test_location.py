# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the state is looked for, and what is no place for it."""

from pathlib import Path

import pytest
from muster.model import InvalidInput
from muster.store import default_location, open_store


def test_the_place_is_given_or_from_the_environment_or_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("MUSTER_STORE", raising=False)
    assert str(open_store()) == f"{tmp_path}/.local/state/muster"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert str(open_store()) == f"{tmp_path}/xdg/muster"
    monkeypatch.setenv("MUSTER_STORE", str(tmp_path / "env"))
    assert str(open_store()) == default_location() == f"{tmp_path}/env"
    assert str(open_store("")) == f"{tmp_path}/env"
    assert str(open_store("~/given")) == f"{tmp_path}/given"
    assert str(open_store(f"file://{tmp_path}/url")) == f"{tmp_path}/url"


def test_a_relative_place_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(open_store(".demo/state")) == f"{tmp_path}/.demo/state"


def test_opening_makes_nothing(tmp_path: Path) -> None:
    open_store(str(tmp_path / "store"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("location", ["https://muster.example.org", "postgresql://db/muster", "s3://bucket"])
def test_a_kind_of_store_that_is_not_there_yet_is_said(location: str) -> None:
    with pytest.raises(InvalidInput, match="is not supported by this version .give a directory"):
        open_store(location)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "state.json").touch()
    with pytest.raises(InvalidInput, match=r"state\.json is a file \(give the directory that it lies in\)"):
        open_store(str(tmp_path / "state.json"))


def test_the_home_of_nobody_is_no_store() -> None:
    with pytest.raises(InvalidInput, match="there is no such home directory"):
        open_store("~nobody-of-this-name/store")
