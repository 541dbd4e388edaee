# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door: refuses a Python that is too old in one sentence, then hands over to `cli`.

This file alone must parse on any Python 3 (and 2), or the refusal would be a SyntaxError; so it has no annotations.
"""

import sys

if sys.version_info < (3, 9):
    sys.stdout.write(
        '{"protocol": 1, "agent": "unknown", "verb": null, "ok": false, "error": {"code": "python_too_old", '
        '"message": "Python %d.%d is too old for the agent: it needs 3.9 or newer.", '
        '"hint": "Install a newer Python on this node, or name one with ansible_python_interpreter."}}\n'
        % sys.version_info[:2]
    )
    sys.exit(70)  # pylint: disable=ansible-bad-function  # a program of its own, not a module

if __package__:
    from .cli import main
else:
    # In the packed file this module lies beside the package, not in it.
    from muster_agent.cli import main  # type: ignore[import-not-found,no-redef]

if __name__ == "__main__":
    sys.exit(main(sys.argv))  # pylint: disable=ansible-bad-function  # see above
