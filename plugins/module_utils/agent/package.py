# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one file that nodes get, made on the controller: this folder and pynvml as a zip that Python can run.

The same input makes the same file, byte for byte, so its version can be told from what is in it. Beside each source
lies its bytecode: a node whose Python has the controller's minor version saves half of each start; any other ignores
it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import marshal
import pathlib
import zipfile

from .version import COLLECTION_VERSION, VERSION_FILE

FILE_NAME = "muster-agent.pyz"
PACKAGE = "muster_agent"
ON_THE_CONTROLLER_ONLY = "package.py"
UNCHECKED_HASH = 0b01
REPEATABLE_FORMAT = 2  # of marshal: later ones depend on what else the process has loaded
EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class AgentBuildError(Exception):
    """The agent's file cannot be made on this controller."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def version() -> str:
    """Return what `muster-agent.pyz version` will say: `0.1.0+<8 hex of a digest of its files>`. Raises
    AgentBuildError."""
    digest = hashlib.sha256()
    for name, content in _files().items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"{COLLECTION_VERSION}+{digest.hexdigest()[:8]}"


@functools.lru_cache(maxsize=1)
def build() -> bytes:
    """Return the file `muster-agent.pyz`. Raises AgentBuildError."""
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in {**_files(), **_bytecode(), VERSION_FILE: version().encode()}.items():
            entry = zipfile.ZipInfo(name, EARLIEST_ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, wherever this runs
            archive.writestr(entry, content)
    return buffer.getvalue()


@functools.lru_cache(maxsize=1)
def _files() -> dict[str, bytes]:
    """Return path in the zip -> content, in a fixed order."""
    here = pathlib.Path(__file__).parent
    files = {}
    for path in sorted(here.rglob("*.py")):
        name = path.relative_to(here).as_posix()
        if name == "__main__.py":
            files[name] = path.read_bytes()
        elif name != ON_THE_CONTROLLER_ONLY:
            files[f"{PACKAGE}/{name}"] = path.read_bytes()
    if "__main__.py" not in files:
        raise AgentBuildError(
            f"the agent's source files are not in {here}",
            "make it on the controller, from the collection or the wheel as they are installed",
        )
    files["pynvml.py"] = _pynvml()
    return files


def _bytecode() -> dict[str, bytes]:
    """Return path in the zip -> a .pyc that is taken without a look at its source, which cannot be another (PEP
    552)."""
    head = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH.to_bytes(4, "little")
    files = {}
    for name, source in _files().items():
        code = compile(source, name, "exec", dont_inherit=True, optimize=0)
        try:
            files[f"{name}c"] = head + importlib.util.source_hash(source) + marshal.dumps(code, REPEATABLE_FORMAT)
        except ValueError:  # Python 3.14 makes constants that this format lacks: that file goes without
            continue
    files.pop("__main__.pyc")  # run by its source in every case
    return files


def _pynvml() -> bytes:
    found = importlib.util.find_spec("pynvml")
    if found is None or not found.origin or not found.origin.endswith("pynvml.py"):
        raise AgentBuildError(
            "the Python that runs Muster has no pynvml, which the agent brings along to read the GPUs of a node",
            "pip install nvidia-ml-py (not the package called pynvml)",
        )
    return pathlib.Path(found.origin).read_bytes()
