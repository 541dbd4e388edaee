# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab: real Debian nodes with systemd and sshd on one machine, for tests of anything about nodes.

Root and Debian are needed, and what install.sh installs. From a shell, in the checkout's root:

    python3 -m tests.lab up 4                              # n001 to n004, in about two seconds; --torch for PyTorch
    python3 -m tests.lab run -- ansible-playbook -i inventories/lab playbooks/site.yml
    python3 -m tests.lab exec n002 systemctl status ssh    # without ssh
    python3 -m tests.lab gpus n001 4                       # fake ones
    python3 -m tests.lab fault power-loss n003             # `fault -h` lists what can happen; `heal` undoes it
    python3 -m tests.lab down

In a test, the fixture `lab` has four nodes, `torch_lab` has four with PyTorch, `lab_of(16)` as many as asked for:

    def test_something(lab):
        lab.run(["ansible-playbook", "-i", lab.inventory(user="ops", slots=[2, 1, 1]), ...])
        lab.fault("cut", "n002")                           # healed after the test
        with lab.enter():                                  # this thread now reaches the nodes, over Fabric for one
            ...

Nodes are reached from within the lab's network only, and nothing gets out of it.
"""

from __future__ import annotations

from .command import LabError
from .lab import Lab, labs, sweep
from .node import Node
from .process import Process

__all__ = ["Lab", "LabError", "Node", "Process", "labs", "sweep"]
