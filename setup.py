# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Maps the library's folders to the import name `muster`; everything else about the wheel stands in pyproject.toml."""

from setuptools import find_packages, setup

LIBRARY = "plugins/module_utils"

setup(
    package_dir={"muster": LIBRARY},
    packages=["muster", *(f"muster.{name}" for name in find_packages(LIBRARY))],
)
