# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Installs the pip whose wheel lies beside this file, as `get_pip_25_2.py` installs pip 25.2.

ansible-test keeps pip's own installer under that name and looks there before it downloads it; there
.ci/sanity puts this one.
"""

import sys
from pathlib import Path

here = Path(__file__).resolve()
version = here.stem.removeprefix("get_pip_").replace("_", ".")
sys.path.insert(0, str(next(here.parent.glob(f"pip-{version}-*.whl"))))

from pip._internal.cli.main import main  # noqa: E402  (only now can it be found)

wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(main(["install", "--no-index", "--find-links", str(here.parent), *wanted]))
