# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs on a node: one file that answers verbs with JSON, and the supervisor of a job's ranks.

Python 3.9, the standard library and pynvml only; nothing here imports the rest of Muster, because here is another
machine. `docs/agent.md` has the verbs, the exit codes and the shapes. `package.py` runs on the controller: it makes
the one file.
"""
