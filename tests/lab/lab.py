# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab: real Debian nodes n001, n002, ... on one machine, in a network of their own.

Everything that a lab makes can be found from its name and its record, /run/muster-lab/NAME/lab.json, which is written
before anything else. So `Lab.down` cleans up after any crash. `sweep` takes down the labs whose owner is gone: a
watcher beside each owner calls it when the owner ends, and so does whoever brings up the next lab.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from ..fakenvml import LIBRARY, FakeNvml
from . import client, faults, inotify
from .cgroup import Cgroup
from .command import LabError, call
from .layer import write_layer
from .network import Network
from .node import Node
from .process import Process
from .record import LABS, Record, lock, records
from .rootfs import rootfs

DRIVER = "opt/fakenvml"


class Lab:
    """A lab that is up. As a context manager it is taken down at the end."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.name = record.name
        self.directory = LABS / record.name
        self.network = Network(record.name)
        self.cgroup = Cgroup([Path(directory) for directory in record.cgroup])
        self.nodes = {
            name: Node(name, address, self.directory / name, self.network, self.cgroup.child(name))
            for name, address in record.addresses.items()
        }
        self.key = self.directory / "id_ed25519"
        self.ssh_config = self.directory / "ssh_config"

    @classmethod
    def up(
        cls,
        count: int,
        name: str = "lab",
        owner: Process | None = None,
        disk_mib: int = 256,
        binds: Mapping[str, Path] | None = None,
    ) -> Lab:
        """Bring up `count` nodes, each with a disk of `disk_mib`.

        With an `owner` the lab is taken down when that process ends, if not before; without one it stays until `down`.
        `binds` shows directories of this machine (values) to all nodes, read-only, at the paths that are its keys.
        """
        if not re.fullmatch("[a-z0-9-]{1,40}", name):
            raise LabError(f"a lab's name is made of a-z, 0-9 and -: {name!r} is not")
        sweep()
        root = rootfs()
        addresses = {f"n{number + 1:03d}": f"10.77.{1 + number // 250}.{1 + number % 250}" for number in range(count)}
        record = Record(
            name=name,
            owner=owner,
            addresses=addresses,
            cgroup=[str(directory) for directory in Cgroup.below_mine(f"muster-lab-{name}").directories],
            rootfs=str(root),
            disk_mib=disk_mib,
            binds={place: str(host) for place, host in (binds or {}).items()},
        )
        with lock("registry"):
            lab = cls(record)
            if (lab.directory / "lab.json").exists():
                raise LabError(f"the lab {name} is up already (python -m tests.lab --name {name} down)")
            lab.directory.mkdir(mode=0o700, exist_ok=True)
            record.write(lab.directory / "lab.json")
            inotify.allow()
        if owner:
            _watch(owner)
        try:
            lab._make()
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def open(cls, name: str = "lab") -> Lab:
        """The lab of that name that is up."""
        try:
            return cls(Record.read(LABS / name / "lab.json"))
        except FileNotFoundError:
            raise LabError(f"there is no lab {name} (python -m tests.lab --name {name} up 4)") from None

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def __getitem__(self, node: str) -> Node:
        try:
            return self.nodes[node]
        except KeyError:
            raise LabError(f"the lab {self.name} has no node {node}; it has {', '.join(self.nodes)}") from None

    def down(self) -> None:
        """Take down everything that belongs to the lab, however far it got and whatever has died since."""
        if self.cgroup.directories[0].exists():
            self.cgroup.kill()
            self.each(Node.kill)
        self.cgroup.remove()
        for node in self.nodes.values():
            node.remove_disk()
        self.network.down()
        with lock("registry"):
            shutil.rmtree(self.directory, ignore_errors=True)
            inotify.restore()

    def each(self, act: Callable[[Node], object], nodes: Iterable[str] | None = None) -> None:
        """Do something with all nodes, or those named, at once."""
        chosen = [self[name] for name in (self.nodes if nodes is None else nodes)]
        with ThreadPoolExecutor(max(1, len(chosen))) as threads:
            for result in [threads.submit(act, node) for node in chosen]:
                result.result()

    def fault(self, verb: str, node: str, *arguments: str) -> None:
        """Let something happen to a node; the verbs are in `faults`."""
        faults.inject(verb, self[node], *arguments)

    def heal(self, *nodes: str) -> None:
        """Undo every fault of these nodes (default: all) and power on those that are off; returns when sshd answers."""

        def heal(node: Node) -> None:
            if faults.is_faulty(node):
                faults.heal(node)
                if not node.runner():
                    self.start(node.name)

        self.each(heal, nodes or None)

    def give_gpus(self, node: str, gpus: int, **options: Any) -> FakeNvml:
        """Give a node so many fake GPUs, in place of those it had; what is returned changes them live."""
        root = self[node].root
        libraries = next(path for path in (root / "usr/lib").iterdir() if path.name.endswith("-linux-gnu"))
        options.setdefault("uuids", [f"GPU-{uuid5(NAMESPACE_DNS, f'{gpu}.{node}')}" for gpu in range(gpus)])
        nvml = FakeNvml(root / DRIVER, gpus, **options)
        (libraries / LIBRARY).unlink(missing_ok=True)
        (libraries / LIBRARY).symlink_to(Path("/") / DRIVER / LIBRARY)
        return nvml

    def take_gpus(self, node: str) -> None:
        """Take a node's fake GPUs away, driver and all."""
        for link in (self[node].root / "usr/lib").glob(f"*-linux-gnu/{LIBRARY}"):
            link.unlink()
        shutil.rmtree(self[node].root / DRIVER, ignore_errors=True)

    def start(self, node: str) -> None:
        """Power a node on, its cable plugged in; returns when sshd answers."""
        self.network.plug(node, True)
        self[node].start({place: Path(host) for place, host in self.record.binds.items()})

    def renew(self, node: str) -> None:
        """A node as on the first day: an empty disk and a fresh boot, with the same address and host key."""
        self[node].kill()
        faults.heal(self[node])
        self._make_disk(self[node])
        self.start(node)

    def enter(self) -> AbstractContextManager[None]:
        """Move the calling thread, and the threads that it starts meanwhile, to where the nodes can be reached."""
        return self.network.enter()

    def environment(self) -> dict[str, str]:
        """The environment of commands run in the lab: this one, and MUSTER_LAB_DIR, which inventories/lab reads."""
        return {**os.environ, "MUSTER_LAB_DIR": str(self.directory)}

    def run(self, argv: Iterable[object], **options: Any) -> subprocess.CompletedProcess[str]:
        """`subprocess.run` where the nodes can be reached; captured, as text, with the lab's environment by default."""
        settings = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "env": self.environment()}
        if "input" in options:
            del settings["stdin"]
        return subprocess.run(self.network.command(*argv), **{**settings, **options})

    def popen(self, argv: Iterable[object], **options: Any) -> subprocess.Popen[str]:
        """`subprocess.Popen` where the nodes can be reached."""
        settings = {"text": True, "stdin": subprocess.DEVNULL, "env": self.environment()}
        return subprocess.Popen(self.network.command(*argv), **{**settings, **options})

    def ssh(self, node: str, *argv: object, user: str = "root", **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in a node over ssh, as a person would from the controller."""
        return self.run(["ssh", "-F", self.ssh_config, "-l", user, node, *argv], **options)

    def execute(self, node: str, *argv: object, user: str = "root", **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in a node without ssh, whatever its network is like. `options`: of subprocess.run."""
        settings = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
        if "input" in options:
            del settings["stdin"]
        return subprocess.run(self[node].command(*argv, user=user), **{**settings, **options})

    def inventory(self, **options: Any) -> Path:
        """Write an inventory of the nodes and return its path; `options`: see `client.write_inventory`."""
        return client.write_inventory(self, **options)

    def _make(self) -> None:
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"muster-lab-{self.name}", "-f", self.key)
        public_key = self.key.with_suffix(".pub").read_text()
        write_layer(self.directory / "layer", Path(self.record.rootfs), self.record.addresses, public_key)
        self.network.up(self.record.addresses)
        self.cgroup.make().weigh(len(self.record.addresses))
        self.each(self._make_disk)
        client.write_ssh_files(self)
        self.each(lambda node: self.start(node.name))

    def _make_disk(self, node: Node) -> None:
        node.make_disk([self.directory / "layer", Path(self.record.rootfs)], self.record.disk_mib)


def labs() -> list[Lab]:
    """All labs of this machine, those half made or left behind too."""
    return [Lab(record) for record in records()]


def sweep() -> list[str]:
    """Take down the labs whose owner is gone; their names."""
    swept = []
    with lock("sweep"):
        for lab in labs():
            if lab.record.owner and not lab.record.owner.alive():
                lab.down()
                swept.append(lab.name)
    return swept


def sweep_after(pid: int) -> None:
    """Wait until that process has ended, then sweep."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        pass
    else:
        select.select([ended], [], [])
    sweep()


def _watch(owner: Process) -> None:
    """Start a process that outlives the owner and then sweeps."""
    subprocess.Popen(
        [sys.executable, "-m", f"{__package__}", "sweep", "--after", str(owner.pid)],
        cwd=Path(__file__).resolve().parents[2],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
