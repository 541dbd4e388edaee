# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab from a shell: `python -m tests.lab up 4`, from the checkout's root."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from time import monotonic

from .command import LabError
from .faults import VERBS
from .lab import Lab, labs, sweep, sweep_after
from .pytorch import PYTHON, torch


def main() -> int:
    """Do what the command line asks; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="Real Debian nodes on this one machine.")
    parser.add_argument("--name", default=os.environ.get("MUSTER_LAB", "lab"), help="default: $MUSTER_LAB, else lab")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="bring up nodes n001, n002, ...; they stay until `down`")
    up.add_argument("nodes", type=int)
    up.add_argument("--disk-mib", type=int, default=256, help="size of each node's own disk (default: %(default)s)")
    up.add_argument("--torch", action="store_true", help=f"with PyTorch: {PYTHON} on the nodes")
    verbs.add_parser("down", help="take the lab down and leave nothing behind")
    sweeps = verbs.add_parser("sweep", help="take down the labs whose owner is gone")
    sweeps.add_argument("--after", type=int, metavar="PID", help="wait until this process has ended")
    verbs.add_parser("list", help="the labs of this machine")
    verbs.add_parser("status", help="the nodes and what systemd in them says")
    run = verbs.add_parser("run", help="run a command where the nodes can be reached, with MUSTER_LAB_DIR set")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    execute = verbs.add_parser("exec", help="run a command in a node, without ssh")
    execute.add_argument("node")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    gpus = verbs.add_parser("gpus", help="give a node fake GPUs, or take them away")
    gpus.add_argument("node")
    gpus.add_argument("count", type=int, help="how many; 0: no driver either")
    gpus.add_argument("--model", default="NVIDIA H100 80GB HBM3")
    fault = verbs.add_parser(
        "fault", help="let something happen to a node", formatter_class=argparse.RawTextHelpFormatter
    )
    does = [f"{verb:12}{act.__doc__}" for verb, act in VERBS.items()]
    fault.add_argument("fault", choices=VERBS, metavar="VERB", help="\n".join(does))
    fault.add_argument("node")
    fault.add_argument("argument", nargs="*", help="of lose (percent) and slow (rate)")
    heal = verbs.add_parser("heal", help="undo every fault of these nodes (default: all) and power them on")
    heal.add_argument("nodes", nargs="*")
    inventory = verbs.add_parser("inventory", help="write an Ansible inventory of the nodes and print its path")
    inventory.add_argument("--user", default="root", help="root, or ops with sudo (default: %(default)s)")
    inventory.add_argument("--slots", default="", help="muster_slots of the nodes, such as 2,1,1")
    inventory.add_argument("--via", help="the node through which the others are reached")
    options = parser.parse_args()
    try:
        return _do(options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _do(options: argparse.Namespace) -> int:
    if options.verb == "up":
        started = monotonic()
        lab = Lab.up(options.nodes, options.name, disk_mib=options.disk_mib, binds=torch() if options.torch else None)
        print(f"{len(lab.nodes)} nodes up in {monotonic() - started:.1f} s: {', '.join(lab.nodes)}")
        return 0
    if options.verb == "sweep" and options.after:
        sweep_after(options.after)
        return 0
    if options.verb == "sweep":
        print("\n".join(sweep()) or "nothing to sweep")
        return 0
    if options.verb == "list":
        for lab in labs():
            owner = lab.record.owner
            print(lab.name, f"{len(lab.nodes)} nodes", f"owner {owner.pid}" if owner else "stays until down")
        return 0

    lab = Lab.open(options.name)
    if options.verb == "down":
        lab.down()
    elif options.verb == "status":
        for node in lab.nodes.values():
            says = lab.execute(node.name, "systemctl", "is-system-running").stdout.strip() if node.leader() else "off"
            print(node.name, node.address, says)
    elif options.verb == "run":
        command = lab.network.command(*_without_dashes(options.argv))
        os.execvpe(command[0], command, lab.environment())
    elif options.verb == "exec":
        return subprocess.run(lab[options.node].command(*_without_dashes(options.argv))).returncode
    elif options.verb == "gpus" and options.count:
        print("\n".join(lab.give_gpus(options.node, options.count, model=options.model).uuids))
    elif options.verb == "gpus":
        lab.take_gpus(options.node)
    elif options.verb == "fault":
        lab.fault(options.fault, options.node, *options.argument)
    elif options.verb == "heal":
        lab.heal(*options.nodes)
    elif options.verb == "inventory":
        slots = [int(count) for count in options.slots.split(",") if count]
        print(lab.inventory(user=options.user, slots=slots, via=options.via))
    return 0


def _without_dashes(argv: list[str]) -> list[str]:
    return argv[1:] if argv[:1] == ["--"] else argv


if __name__ == "__main__":
    sys.exit(main())
