# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data-parallel training with nothing but the standard library: logistic regression, gradients summed over TCP.

Each rank draws its own share of the data, computes its gradient, and gets the sum of all of them back from rank 0
(an all-reduce over a star). All ranks must end with the same parameters, bit for bit: rank 0 compares.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import socket
import sys
import time

RANK = int(os.environ["RANK"])
WORLD_SIZE = int(os.environ["WORLD_SIZE"])
MASTER = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
STEPS, FEATURES, SAMPLES, RATE = 120, 16, 200, 0.5


class Star:
    """Sums lists of numbers over all ranks. Rank 0 adds them up in rank order, so that every sum is the same."""

    def __init__(self) -> None:
        if RANK == 0:
            listener = socket.create_server(MASTER, backlog=WORLD_SIZE)
            peers = {}
            while len(peers) < WORLD_SIZE - 1:
                stream = listener.accept()[0].makefile("rw")
                peers[json.loads(stream.readline())] = stream
            self.streams = [peers[rank] for rank in sorted(peers)]
        else:
            self.streams = [self._join().makefile("rw")]
            self._send(self.streams[0], RANK)

    @staticmethod
    def _join() -> socket.socket:
        deadline = time.monotonic() + 30
        while True:
            try:
                return socket.create_connection(MASTER, timeout=30)
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    @staticmethod
    def _send(stream, value) -> None:
        stream.write(json.dumps(value) + "\n")
        stream.flush()

    def gather(self, value) -> list:
        """Every rank's value, in rank order, on every rank."""
        if RANK == 0:
            values = [value, *(json.loads(stream.readline()) for stream in self.streams)]
            for stream in self.streams:
                self._send(stream, values)
            return values
        self._send(self.streams[0], value)
        return json.loads(self.streams[0].readline())

    def all_reduce(self, numbers: list[float]) -> list[float]:
        """The element-wise sum over all ranks."""
        return [math.fsum(column) for column in zip(*self.gather(numbers))]


def share_of_data() -> list[tuple[list[float], float]]:
    """This rank's samples of one truth that all ranks have in common."""
    truth = random.Random(0)
    weights = [truth.uniform(-2, 2) for feature in range(FEATURES)]
    mine = random.Random(1000 + RANK)
    samples = []
    for _sample in range(SAMPLES):
        x = [mine.gauss(0, 1) for feature in range(FEATURES)]
        score = sum(a * b for a, b in zip(weights, x)) + mine.gauss(0, 0.5)
        samples.append((x, 1.0 if score > 0 else 0.0))
    return samples


def main() -> int:
    print(f"rank {RANK} of {WORLD_SIZE} on {socket.gethostname()}, pid {os.getpid()}", flush=True)
    star, samples, weights = Star(), share_of_data(), [0.0] * FEATURES
    for step in range(1, STEPS + 1):
        gradient, loss, right = [0.0] * FEATURES, 0.0, 0
        for x, y in samples:
            p = 1 / (1 + math.exp(-sum(a * b for a, b in zip(weights, x))))
            loss -= math.log(max(p if y else 1 - p, 1e-12))
            right += (p > 0.5) == bool(y)
            gradient = [g + (p - y) * value for g, value in zip(gradient, x)]
        *total, loss, right = star.all_reduce([*gradient, loss, right])
        count = SAMPLES * WORLD_SIZE
        weights = [w - RATE * g / count for w, g in zip(weights, total)]
        if RANK == 0 and step % 20 == 0:
            print(f"step {step:3d}  loss {loss / count:.4f}  accuracy {right / count:.1%}", flush=True)
    checksum = hashlib.sha256(json.dumps(weights).encode()).hexdigest()[:16]
    checksums = star.gather(checksum)
    print(f"rank {RANK}: parameters {checksum}", flush=True)
    if len(set(checksums)) > 1:
        print(f"the ranks disagree: {checksums}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
