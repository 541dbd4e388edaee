# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may ask for, and the one sentence for each thing that cannot be meant."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster.model import SECRET, InvalidInput, JobSpec, validated

GOOD: dict[str, Any] = {"name": "ring", "command": ["python3", "train.py"], "nodes": 2}


def asked(**changes: Any) -> JobSpec:
    return validated(JobSpec, GOOD | changes, "muster_job")


def refusal(**changes: Any) -> str:
    with pytest.raises(InvalidInput) as error:
        asked(**changes)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"command": "python3 train.py --name 'my run'"},
            "muster_job.command: must be a list of words, not a string: "
            'write ["python3", "train.py", "--name", "my run"]',
        ),
        ({"command": "echo 'torn"}, 'must be a list of words, not a string: write ["echo", "\'torn"]'),
        ({"command": []}, "muster_job.command: must not be empty"),
        ({"command": ["", "x"]}, "muster_job.command: the first word must name a program"),
        ({"command": ["a", True]}, "muster_job.command: each word must be a string or a number: put quotes round True"),
        ({"command": ["a", ["b"]]}, "muster_job.command: each word must be a string or a number"),
        ({"command": ["a\0b"]}, "holds a NUL"),
        ({"command": {"a": 1}}, "muster_job.command must be a list, not a mapping"),
        (
            {"gpus": 4},
            "muster_job asks for its size in two ways (nodes, gpus): "
            "give nodes, nodes with gpus_per_node or slots_per_node, gpus, or slots",
        ),
        ({"gpus_per_node": 4, "slots_per_node": 4}, "two ways (nodes, gpus_per_node, slots_per_node)"),
        ({"nodes": None, "gpus": 1, "slots": 1}, "two ways (gpus, slots)"),
        ({"nodes": None, "gpus_per_node": 8}, "muster_job gives gpus_per_node, but not how many nodes: give nodes too"),
        ({"nodes": None}, "muster_job says no size"),
        ({"nodes": ""}, "muster_job says no size"),
        ({"nodes": 0}, "muster_job.nodes: must be at least 1, not 0"),
        ({"nodes": -1}, "muster_job.nodes: must be at least 1, not -1"),
        ({"nodes": "two"}, "muster_job.nodes: must be a whole number, not 'two'"),
        ({"nodes": 2.5}, "muster_job.nodes: must be a whole number, not 2.5"),
        ({"nodes": True}, "muster_job.nodes: must not be true"),
        ({"gpu_per_node": 8}, "muster_job.gpu_per_node is unknown: did you mean gpus_per_node?"),
        ({"Nodes": 8}, "muster_job.Nodes is unknown: did you mean nodes?"),
        ({"xyzzy": 8}, "muster_job.xyzzy is unknown: known are command, constraints, cwd"),
        ({1: 8}, "muster_job.1: Keys should be strings"),
        (
            {"constraints": {"gpu_modl": "A100"}},
            "muster_job.constraints.gpu_modl is unknown: did you mean gpu_model?",
        ),
        ({"constraints": {"labels": {"rack": ["a"]}}}, "muster_job.constraints.labels: rack must be one value"),
        ({"constraints": {"min_gpu_memory_mib": -1}}, "muster_job.constraints.min_gpu_memory_mib: must be at least 0"),
        ({"constraints": "rack=a"}, "muster_job.constraints must be a mapping, not a string"),
        (
            {"nodes": None, "slots": 4, "constraints": {"gpu_model": "A100"}},
            "muster_job asks for slots, which only nodes without GPUs offer, and constrains the GPU: ask for GPUs",
        ),
        ({"launcher": "mpirun"}, "muster_job.launcher: 'mpirun' is no launcher: use direct or torchrun"),
        ({"launcher": ["direct"]}, "is no launcher"),
        ({"cwd": "code"}, "muster_job.cwd: must be an absolute path on the nodes, not 'code'"),
        ({"time_limit_s": 0}, "muster_job.time_limit_s: must be at least 1, not 0"),
        ({"grace_s": -1}, "muster_job.grace_s: must be at least 0, not -1"),
        ({"env": {"DEBUG": True}}, "muster_job.env: DEBUG must be a string: put quotes round its value"),
        ({"env": {"A=B": "c"}}, "muster_job.env: 'A=B' is no name of an environment variable"),
        ({"env": {"": "c"}}, "'' is no name of an environment variable"),
        ({"env": {"A": "\0"}}, "muster_job.env: A holds a NUL"),
        ({"secrets": ["CITY"]}, "muster_job marks CITY as a secret, and env has no CITY"),
        ({"secrets": ["CITY"], "env": {"City": "x"}}, "muster_job marks CITY as a secret, and env has no CITY"),
        ({"secrets": "CITY"}, "muster_job.secrets must be a list, not a string"),
        ({"secrets": {"CITY": "x"}}, "muster_job.secrets must be a list, not a mapping"),
        ({"secrets": [7]}, "muster_job.secrets.0: must be a string, not 7"),
        ({"name": 7}, "muster_job.name: must be a string, not 7"),
    ],
)
def test_each_mistake_has_its_sentence(changes: dict[Any, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as error:
        validated(JobSpec, {**GOOD, **changes}, "muster_job")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a/b", "a b", "..", "a..b", "", ".a", "-a", "a\n", "ü", "a" * 64, "a;b", "$(a)", "~"])
def test_a_name_that_is_unsafe_in_a_file_name_or_a_shell_is_refused(name: str) -> None:
    assert f"{name!r} is no job name: use 1 to 63 letters, digits" in refusal(name=name)


@pytest.mark.parametrize("name", ["a", "Llama-3.1_8b", "7b", "a" * 63])
def test_ordinary_names_are_taken(name: str) -> None:
    assert asked(name=name).name == name


@pytest.mark.parametrize("missing", ["name", "command"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(InvalidInput, match=f"^muster_job.{missing} is missing$"):
        validated(JobSpec, {key: value for key, value in GOOD.items() if key != missing}, "muster_job")


@pytest.mark.parametrize(
    ("data", "kind"), [("x", "a string"), ([1], "a list"), (None, "empty"), (3, "a number"), (True, "true or false")]
)
def test_a_job_that_is_no_mapping_is_refused_in_plain_words(data: object, kind: str) -> None:
    with pytest.raises(InvalidInput, match=f"^muster_job must be a mapping, not {kind}$"):
        validated(JobSpec, data, "muster_job")


def test_all_mistakes_are_said_at_once() -> None:
    assert refusal(nodes=0, grace_s=-1).count("must be at least") == 2


def test_numbers_may_come_as_strings_as_awx_surveys_send_them() -> None:
    job = asked(nodes="2", gpus_per_node="8", time_limit_s=" 60 ", grace_s="5", priority="-3", max_restarts="1")
    assert (job.nodes, job.gpus_per_node, job.time_limit_s, job.grace_s) == (2, 8, 60, 5)
    assert (job.priority, job.max_restarts) == (-3, 1)
    assert asked(constraints={"min_gpu_memory_mib": "40000"}).constraints.min_gpu_memory_mib == 40000


@pytest.mark.parametrize("empty", ["", None])
def test_what_a_survey_or_a_file_leaves_empty_has_its_default(empty: str | None) -> None:
    optional = [name for name, field in JobSpec.model_fields.items() if not field.is_required() and name != "nodes"]
    job = asked(**dict.fromkeys(optional, empty))
    assert job == asked()
    assert asked(constraints={"labels": empty, "gpu_model": empty, "min_gpu_memory_mib": empty}) == asked()


def test_words_and_variables_that_yaml_read_as_numbers_are_taken_as_text() -> None:
    job = asked(command=["python3", "train.py", "--lr", 0.1, 3], env={"OMP_NUM_THREADS": 4})
    assert job.command == ["python3", "train.py", "--lr", "0.1", "3"]
    assert job.env == {"OMP_NUM_THREADS": "4"}


def test_labels_are_compared_as_they_were_written() -> None:
    assert asked(constraints={"labels": {"rack": 2, "spot": True, "site": None}}).constraints.labels == {
        "rack": "2",
        "spot": "true",
        "site": "",
    }


@given(st.integers(min_value=1, max_value=10**6), st.integers(min_value=1, max_value=64))
def test_each_of_the_ways_to_ask_for_size_is_taken(count: int, each: int) -> None:
    for size in (
        {"nodes": count},
        {"nodes": count, "gpus_per_node": each},
        {"nodes": count, "slots_per_node": each},
        {"gpus": count},
        {"slots": count},
    ):
        assert JobSpec.model_validate({"name": "a", "command": ["a"], **size})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("HF_TOKEN", "hf_abc"),
        ("WANDB_API_KEY", "abc"),
        ("WANDB_KEY", "abc"),
        ("AWS_SECRET_ACCESS_KEY", "abc"),
        ("DB_PASSWORD", "abc"),
        ("PGPASSWORD", "abc"),
        ("DB_PASS", "abc"),
        ("DB_PWD", "abc"),
        ("SSH_PASSPHRASE", "abc"),
        ("aws_credentials", "abc"),
        ("DATABASE", "postgres://me:abc@db/x"),
        ("https_proxy", "http://:abc@proxy:3128"),
    ],
)
def test_the_state_never_keeps_what_looks_like_a_secret(key: str, value: str) -> None:
    assert asked(env={key: value}).without_secrets().env == {key: SECRET}


def test_what_the_user_marks_is_a_secret_whatever_its_name() -> None:
    job = asked(env={"CITY": "abc", "TOWN": "abc", "HF_TOKEN": "abc"}, secrets=["CITY"])
    assert job.without_secrets().env == {"CITY": SECRET, "TOWN": "abc", "HF_TOKEN": SECRET}
    assert job.without_secrets().secrets == ["CITY"], "so that it is told what was marked"
    assert job.env["CITY"] == "abc", "whoever launches it still has it"
    assert job.without_secrets().without_secrets() == job.without_secrets()


def test_a_marked_variable_that_is_empty_hides_nothing() -> None:
    assert asked(env={"CITY": ""}, secrets=["CITY"]).without_secrets().env == {"CITY": ""}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false"),
        ("PWD", "/data"),
        ("NCCL_DEBUG", "INFO"),
        ("KEYBOARD", "us"),
        ("HF_TOKEN", ""),
        ("DATA", "s3://bucket/a:b"),
        ("REPO", "https://example.org/a@b"),
    ],
)
def test_what_is_no_secret_is_kept(key: str, value: str) -> None:
    assert asked(env={key: value}).without_secrets().env == {key: value}


def test_a_secret_given_in_the_wrong_shape_is_not_repeated_in_the_refusal() -> None:
    assert "hf_abc" not in refusal(env="HF_TOKEN=hf_abc")
    assert "hf_abc" not in refusal(env={"HF_TOKEN": ["hf_abc"]})
