# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job: what the user asked for, its state, and its attempts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .errors import InvalidInput, InvalidTransition
from .masking import exposed, masked
from .names import job_name_fault, label_text

State = Literal["QUEUED", "ALLOCATED", "STARTING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "LOST"]

TRANSITIONS: dict[State, frozenset[State]] = {
    "QUEUED": frozenset({"ALLOCATED", "CANCELED", "FAILED", "LOST"}),
    "ALLOCATED": frozenset({"STARTING", "QUEUED", "CANCELED", "FAILED", "LOST"}),
    "STARTING": frozenset({"RUNNING", "CANCELED", "FAILED", "LOST"}),
    "RUNNING": frozenset({"SUCCEEDED", "FAILED", "CANCELED", "LOST"}),
    "SUCCEEDED": frozenset(),
    "FAILED": frozenset({"QUEUED"}),
    "CANCELED": frozenset(),
    "LOST": frozenset({"QUEUED", "RUNNING", "SUCCEEDED", "FAILED"}),
}
"""The only moves allowed (DESIGN, section 3). A job that waits for its restart and cannot have it ends as its last
attempt did."""

ENDED: frozenset[State] = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "LOST"})


def checked_transition(job: str, before: State, after: State) -> State:
    """``after``, or :class:`InvalidTransition` naming both states."""
    if after not in TRANSITIONS[before]:
        raise InvalidTransition(f"job {job} is {before} and cannot become {after}")
    return after


class _Form(BaseModel):
    """Something that a person filled in: a field left empty, as AWX surveys and YAML send it, has its default."""

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        optional = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {key: value for key, value in data.items() if key not in optional or value not in ("", None)}

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError(f"must not be {str(value).lower()}")
        return value


class Constraints(_Form):
    """Which nodes a job accepts. ``labels``: all must be equal; ``gpu_model``: part of the model's name, any case."""

    model_config = ConfigDict(extra="forbid")

    labels: dict[str, str] = {}
    gpu_model: str = ""
    min_gpu_memory_mib: int = Field(default=0, ge=0)

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_are_text(cls, value: object) -> object:
        return {str(k): label_text(str(k), v) for k, v in value.items()} if isinstance(value, dict) else value


class JobSpec(_Form):
    """What the user asks for, as in ``-e @job.yml``. Times in seconds. Numbers may come as strings (AWX surveys)."""

    model_config = ConfigDict(extra="forbid")

    name: str
    command: list[str] = Field(min_length=1)
    cwd: str | None = None
    env: dict[str, str] = {}
    secrets: list[str] = []
    nodes: int | None = Field(default=None, ge=1)
    gpus_per_node: int | None = Field(default=None, ge=1)
    slots_per_node: int | None = Field(default=None, ge=1)
    gpus: int | None = Field(default=None, ge=1)
    slots: int | None = Field(default=None, ge=1)
    constraints: Constraints = Constraints()
    launcher: Literal["direct", "torchrun"] = "direct"
    user: str | None = None
    time_limit_s: int | None = Field(default=None, ge=1)
    hang_timeout_s: int | None = Field(default=None, ge=1)
    hang_signal: Literal["SIGUSR1", "SIGUSR2"] | None = None
    max_log_mib: int = Field(default=256, ge=1)
    grace_s: int = Field(default=10, ge=0)
    max_restarts: int = Field(default=0, ge=0, le=100)
    priority: int = 0

    @field_validator("name", mode="after")
    @classmethod
    def _name_is_safe(cls, value: str) -> str:
        if fault := job_name_fault(value):
            raise ValueError(fault)
        return value

    @field_validator("command", mode="before")
    @classmethod
    def _command_is_a_list(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(f"must be a list of words, not a string: write {json.dumps(_words(value))}")
        if not isinstance(value, (list, tuple)):
            return value
        for word in value:
            if not isinstance(word, (str, int, float)) or isinstance(word, bool):
                raise ValueError(f"each word must be a string or a number: put quotes round {word!r}")
            if "\0" in str(word):
                raise ValueError(f"{word!r} holds a NUL, which no command line can")
        if value and value[0] == "":
            raise ValueError("the first word must name a program")
        return [str(word) for word in value]

    @field_validator("env", mode="before")
    @classmethod
    def _env_is_text(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        for key, item in value.items():
            if not isinstance(item, (str, int, float)) or isinstance(item, bool):
                raise ValueError(f"{key} must be a string: put quotes round its value")
            if not str(key) or "=" in str(key) or "\0" in str(key):
                raise ValueError(f"{key!r} is no name of an environment variable")
            if "\0" in str(item):
                raise ValueError(f"{key} holds a NUL, which no environment can")
        return {str(key): str(item) for key, item in value.items()}

    @field_validator("launcher", mode="before")
    @classmethod
    def _launcher_is_known(cls, value: object) -> object:
        if value not in ("direct", "torchrun"):
            raise ValueError(f"{value!r} is no launcher: use direct or torchrun")
        return value

    @field_validator("cwd", mode="after")
    @classmethod
    def _cwd_is_absolute(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("/"):
            raise ValueError(f"must be an absolute path on the nodes, not {value!r}")
        return value

    @model_validator(mode="after")
    def _secrets_are_there(self) -> JobSpec:
        for name in self.secrets:
            if name not in self.env:
                raise ValueError(f"marks {name} as a secret, and env has no {name}")
        return self

    @model_validator(mode="after")
    def _size_is_asked_for_once(self) -> JobSpec:
        given = [
            key
            for key in ("nodes", "gpus_per_node", "slots_per_node", "gpus", "slots")
            if getattr(self, key) is not None
        ]
        allowed = ({"nodes"}, {"nodes", "gpus_per_node"}, {"nodes", "slots_per_node"}, {"gpus"}, {"slots"})
        if not given:
            raise ValueError("says no size: give nodes, nodes with gpus_per_node or slots_per_node, gpus, or slots")
        if given in (["gpus_per_node"], ["slots_per_node"]):
            raise ValueError(f"gives {given[0]}, but not how many nodes: give nodes too")
        if set(given) not in allowed:
            raise ValueError(
                f"asks for its size in two ways ({', '.join(given)}): "
                "give nodes, nodes with gpus_per_node or slots_per_node, gpus, or slots"
            )
        of_gpus = self.constraints.gpu_model or self.constraints.min_gpu_memory_mib
        if of_gpus and (self.slots or self.slots_per_node):
            raise ValueError(
                "asks for slots, which only nodes without GPUs offer, and constrains the GPU: ask for GPUs"
            )
        return self

    def secret_names(self) -> list[str]:
        """The variables in ``env`` whose values are secrets."""
        hidden = masked(self.env, self.secrets)
        return [name for name, value in self.env.items() if hidden[name] != value]

    def refuse_exposed_secrets(self) -> None:
        """Raise :class:`InvalidInput` where the command, which the state keeps as it is, has a secret in it."""
        if secret := exposed(self.command, self.env, self.secrets):
            raise InvalidInput(
                f"the command of {self.name} has {secret} in it, and commands are kept and shown as they are",
                "let the program read it from its environment",
            )

    def without_secrets(self) -> JobSpec:
        """The same spec as the state may keep it: see :mod:`.masking`."""
        return self.model_copy(update={"env": masked(self.env, self.secrets)})


class Attempt(BaseModel):
    """One try at a job. ``epoch`` is its fencing token; ``plan`` the rank plan it was given, as a document.

    ``blamed``: the nodes that were the cause of its end. ``late``: what nodes said of it when a later attempt had taken
    over, which counts for nothing.
    """

    number: int = Field(ge=1)
    epoch: int = Field(ge=1)
    state: State = "ALLOCATED"
    plan: dict[str, Any] = {}
    allocated_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    failure: dict[str, Any] | None = None
    reason: str = ""
    blamed: list[str] = []
    late: dict[str, str] = {}


class Job(BaseModel):
    """One training run: its spec, its state, and its attempts in order. ``started_at``: the first time that it ran."""

    model_config = ConfigDict(extra="ignore")

    id: str
    name: str
    state: State = "QUEUED"
    spec: JobSpec
    attempts: list[Attempt] = []
    submitted_by: str = ""
    created_at: str
    started_at: str | None = None
    ended_at: str | None = None
    reason: str = ""
    unwanted: str = ""
    """Why somebody wants it to end, from then on: it is not started again."""

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that is going on, or was the last."""
        return self.attempts[-1] if self.attempts else None

    @property
    def ran(self) -> list[Attempt]:
        """The attempts of which ranks ran."""
        return [attempt for attempt in self.attempts if attempt.started_at]

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return restarts(attempt.started_at for attempt in self.attempts)

    @property
    def awaits_restart(self) -> bool:
        """Whether an attempt of it has ended badly, and the next has no nodes yet."""
        return self.state == "QUEUED" and bool(self.ran)


def restarts(started: Iterable[str | None]) -> int:
    """How often a job was started again, by when each of its attempts started."""
    return max(0, sum(at is not None for at in started) - 1)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # an unbalanced quote
        return command.split()
