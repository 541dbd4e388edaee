# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for NVIDIA's libnvidia-ml.so.1: GPUs for nvidia-ml-py, gpustat and nvitop on machines that have none.

The library answers from a file beside it, fakenvml.conf, with lines `key = value`; it reads the file again whenever it
changes. `N/A` as a value makes NVML answer "Not Supported". Numbers take the units KiB, MiB, GiB (bytes) and W (mW).

The machine: gpus, driver_version, nvml_version, cuda_version. A GPU, as `gpu.2.KEY`, or `gpu.*.KEY` for all:

- what it is: name, uuid, pci, vbios, memory_total, mig, ecc_mode, persistence; present = 0 takes it away and renumbers
- what it does: processes ("1234:C:1GiB, 77:G:5MiB"; "visible": those that live with it in CUDA_VISIBLE_DEVICES),
  memory_used, memory_reserved, utilization, memory_utilization, power, power_limit,
  temperature, temperature_{shutdown,slowdown,max,margin,memory,memory_max},
  throttle ("hw_slowdown|hw_thermal_slowdown", see sensors.c), clock_{graphics,sm,memory,video}[_max]
- its links: pcie_{generation,width}[_max], pcie_replays, nvlinks, nvlink.3.{state,replay,recovery,crc_flit,crc_data,
  ecc_data}, fabric_{state,status,health,summary}
- its errors: ecc.{corrected,uncorrected}.{volatile,aggregate}, sram.{corrected,uncorrected}.{volatile,aggregate},
  sram.threshold_exceeded, remap.{correctable,uncorrectable,pending,failure}, retired_{sbe,dbe,pending},
  recovery_action, inforom_corrupt

A fault, as `fault.FUNCTION` (its name without _v2) or `fault` for every function, of a GPU or of the machine:
`lost`, `reset`, `error:NAME or NUMBER`, `hang[:SECONDS]`, `dstate[:SECONDS]` (only SIGKILL ends it), `crash`,
`write:FILE` (on a frozen file system: not even SIGKILL ends it).

FAKE_NVML_LOG names a file to which every call is appended: pid, function, GPU, answer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from ..cache import cached

HERE = Path(__file__).resolve().parent
LIBRARY = "libnvidia-ml.so.1"


def build(old_driver: bool = False) -> Path:
    """The compiled library, made by `cc` at its first use; with `old_driver` it lacks what an R470 driver lacks."""
    sources = sorted(HERE.glob("*.c"))
    map_file = HERE / "r470.map"
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in [*sources, HERE / "fake.h", map_file])).hexdigest()
    hide = [f"-Wl,--version-script={map_file}"] if old_driver else []

    def compile_into(place: Path) -> None:
        flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fvisibility=hidden", "-shared"]
        subprocess.run(["cc", *flags, *hide, f"-Wl,-soname,{LIBRARY}", "-o", place / LIBRARY, *sources], check=True)

    return cached(f"fakenvml-{'r470-' if old_driver else ''}{digest[:12]}", compile_into) / LIBRARY


class FakeNvml:
    """The library in a directory, and what it says; every change is seen by the programs that already use it."""

    def __init__(
        self,
        directory: Path,
        gpus: int = 0,
        model: str = "NVIDIA H100 80GB HBM3",
        memory_mib: int = 81559,
        uuids: Sequence[str] = (),
        old_driver: bool = False,
    ) -> None:
        """Put the library into `directory` with `gpus` GPUs; their uuids follow from the directory unless given."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.conf = directory / "fakenvml.conf"
        # A copy, not a link: the library looks for the file beside its own real path.
        shutil.copy(build(old_driver), directory / LIBRARY)
        self.settings: dict[str, str] = {
            "gpus": str(gpus),
            "gpu.*.name": model,
            "gpu.*.memory_total": f"{memory_mib}MiB",
        }
        for gpu in range(gpus):
            own = f"GPU-{uuid.uuid5(uuid.NAMESPACE_URL, f'{directory}/{gpu}')}"
            self.settings[f"gpu.{gpu}.uuid"] = uuids[gpu] if gpu < len(uuids) else own
            self.settings[f"gpu.{gpu}.pci"] = f"00000000:{7 + 3 * gpu:02X}:00.0"
        self._write()

    @property
    def uuids(self) -> list[str]:
        """The uuids of the GPUs that are present, by index."""
        present = [gpu for gpu in range(int(self.settings["gpus"])) if self.settings.get(f"gpu.{gpu}.present") != "0"]
        return [self.settings[f"gpu.{gpu}.uuid"] for gpu in present]

    def set(self, key: str, value: object, gpu: int | str | None = None) -> None:
        """Change a setting: of the machine, of one GPU, or of all (`*`)."""
        self.settings[_full(key, gpu)] = str(value)
        self._write()

    def clear(self, key: str, gpu: int | str | None = None) -> None:
        """Take a setting back, to the library's default."""
        self.settings.pop(_full(key, gpu), None)
        self._write()

    def xid(self, gpu: int, code: int) -> None:
        """Let a GPU report an XID to every event set that exists."""
        with open(f"{self.conf}.events", "a") as events:
            events.write(f"{gpu} {code}\n")

    def environment(self) -> dict[str, str]:
        """The environment of a program that is to find this library; it must be there when the program starts."""
        return {**os.environ, "LD_LIBRARY_PATH": str(self.directory)}

    def _write(self) -> None:
        partial = self.conf.with_suffix(".partial")
        partial.write_text("".join(f"{key} = {value}\n" for key, value in self.settings.items()))
        partial.replace(self.conf)


def _full(key: str, gpu: int | str | None) -> str:
    return key if gpu is None else f"gpu.{gpu}.{key}"
