# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Samples in, verdicts, changes and reports out: what is kept over a restart, and what a boot ends."""

from __future__ import annotations

import json
from typing import Any

from muster.agent.health import alerts
from muster.agent.health.catalogue import BY_NAME, SAMPLERS
from muster.agent.health.report import prometheus
from muster.agent.health.result import CRITICAL, OK, UNKNOWN, WARNING
from muster.agent.health.settings import parse
from muster.agent.health.watch import Watch, rows_of
from muster.agent.worker import Sample

from .facts import SETTINGS, Facts, gpu, nvml, well

BOOT = "boot-1"


def watch_of(boot_id: str = BOOT, **other: Any) -> Watch:
    return Watch(parse({**SETTINGS, **other}, BY_NAME), boot_id)


def report_of(watch: Watch, at: float) -> list[Facts]:
    return rows_of(watch, watch.verdict().worst, at)


def look(watch: Watch, at: float, **spoiled: Any) -> list[Any]:
    """One round; `spoiled`: facts of a sampler, or a Sample of it."""
    changes = []
    for name, facts in {**well(), **spoiled}.items():
        sample = facts if isinstance(facts, Sample) else Sample(facts)
        changes += watch.take(name, sample, at)
    return changes


def told(changes: list[Any]) -> list[tuple[str, str | None, str]]:
    return [(change.check, change.before, change.after) for change in changes if change.news]


def test_a_node_on_which_all_is_well_is_healthy_at_once() -> None:
    watch = watch_of()
    assert told(look(watch, 0)) == []
    assert (watch.verdict().state, watch.verdict().score) == ("healthy", 100)


def test_nothing_is_healthy_before_it_was_looked_at() -> None:
    watch = watch_of()
    watch.take("disks", Sample(well()["disks"]), 0)
    watch.take("nvml", Sample(failure="did not answer within 60 s"), 0)
    assert watch.verdict().state == "unknown"


def test_a_fault_is_told_when_it_is_confirmed_and_when_it_is_over() -> None:
    watch = watch_of()
    look(watch, 0)
    hot = nvml(gpu(temperature=94))
    assert [told(look(watch, at, nvml=hot)) for at in (30, 35, 40, 45)] == [
        [],
        [],
        [("gpu.temperature", OK, CRITICAL)],
        [],
    ]
    assert watch.verdict().state == "unhealthy"
    row = report_of(watch, 45)[0]
    assert (row["check"], row["status"], row["label"]) == ("gpu.temperature", CRITICAL, "GPU 0")
    assert (row["reason"], row["value"], row["threshold"]) == ("GPU 0 has 94 degrees and switches off at 95", 94, 92)
    assert row["for_s"] == 5
    assert [told(look(watch, at)) for at in (75, 80, 85)] == [[], [], [("gpu.temperature", CRITICAL, OK)]]
    assert watch.verdict().state == "healthy"


def test_a_latched_fault_shows_what_latched_it() -> None:
    watch = watch_of()
    look(watch, 0, nvml=nvml(gpu(ecc_uncorrected=3)))
    watch.take("nvml", Sample(nvml(gpu(ecc_uncorrected=4))), 5)
    row = report_of(watch, 5)[0]
    assert (row["reason"], row["latched"]) == ("GPU 0 has had 4 memory errors that it could not correct", True)
    lost = Sample(nvml({"index": 0, "errors": {"handle": "GPU_IS_LOST"}}))
    watch.take("nvml", lost, 10)
    rows = {(row["check"], row["entity"]): row for row in report_of(watch, 10)}
    assert rows["gpu.ecc.uncorrected", "GPU-0"]["last"] == UNKNOWN
    assert rows["gpu.ecc.uncorrected", "GPU-0"]["reason"].startswith("GPU 0 has had 4 memory errors")


def test_a_reset_that_was_seen_ends_a_latch_and_a_quiet_day_does_not() -> None:
    watch = watch_of()
    look(watch, 0, nvml=nvml(gpu(ecc_uncorrected=3)))
    for at in range(1, 20):
        watch.take("nvml", Sample(nvml(gpu(ecc_uncorrected=3))), at * 3600.0)
    assert watch.verdict().state == "unhealthy"
    watch.take("nvml", Sample(nvml()), 90_000)
    assert watch.verdict().state == "healthy"


def test_a_driver_that_hangs_is_critical_and_all_else_of_it_unknown_in_one_line() -> None:
    watch = watch_of()
    look(watch, 0)
    silent = Sample(failure="did not answer within 10 s (GPU 1: nvmlDeviceGetTemperature)")
    changes = [change for at in (30, 45, 60) for change in look(watch, at, nvml=silent)]
    assert told(changes) == [("gpu.responsive", OK, CRITICAL)]
    assert len({change.check for change in changes if change.silent}) > 15
    row = report_of(watch, 60)[0]
    assert row["reason"] == "NVML did not answer within 10 s (GPU 1: nvmlDeviceGetTemperature)"
    assert row["action"] == "drain the node and reboot it"
    assert told(look(watch, 70)) == [("gpu.responsive", CRITICAL, OK)]


def test_silence_of_another_sampler_is_unknown_for_its_checks() -> None:
    watch = watch_of()
    look(watch, 0)
    for at in (30, 35, 40):
        look(watch, at, disks=Sample(failure="did not answer within 5 s (/data)"))
    rows = {(row["check"], row["entity"]): row for row in report_of(watch, 40)}
    assert rows["disk.free", "/"]["status"] == UNKNOWN
    assert rows["disk.free", "/"]["reason"] == "a file system did not answer within 5 s (/data)"
    assert watch.verdict().state == "degraded"


def test_a_gpu_that_is_at_fault_and_gone_stays_at_fault() -> None:
    watch = watch_of()
    look(watch, 0, nvml=nvml(gpu(0), gpu(1, ecc_uncorrected=1)))
    look(watch, 30, nvml=nvml(gpus=[gpu(0)]))
    names = {(row["check"], row["entity"]): row["status"] for row in report_of(watch, 30)}
    assert names["gpu.ecc.uncorrected", "GPU-1"] == CRITICAL
    assert ("gpu.power", "GPU-1") not in names


def test_a_check_can_be_switched_off() -> None:
    watch = watch_of(checks={"os.clock": {"enabled": False}})
    look(watch, 0, system={**well()["system"], "synchronized": False})
    assert "os.clock" not in {row["check"] for row in report_of(watch, 0)}


def test_thresholds_and_weights_come_from_the_settings() -> None:
    watch = watch_of(checks={"disk.free": {"warning": 100, "critical": 90, "vital": False, "fail_after": 1}})
    look(watch, 0)
    row = report_of(watch, 0)[0]
    assert (row["check"], row["status"], row["vital"]) == ("disk.free", CRITICAL, False)
    assert watch.verdict().state == "degraded"


def test_own_checks_have_names_and_policies_of_their_own() -> None:
    watch = watch_of(checks={"own.smart": {"vital": True, "fail_after": 1}})
    own: Facts = {"error": None, "found": {"smart": {"code": 2, "output": "sda fails"}, "b": {"code": 2, "output": ""}}}
    look(watch, 0, own=own)
    row = report_of(watch, 0)[0]
    assert (row["check"], row["reason"], watch.verdict().state) == ("own.smart", "sda fails", "unhealthy")
    assert [row["status"] for row in report_of(watch, 0) if row["check"] == "own.b"] == [UNKNOWN], "not confirmed"


def restarted(watch: Watch, boot_id: str = BOOT, **other: Any) -> Watch:
    again = watch_of(boot_id, **other)
    again.restore(json.loads(json.dumps(watch.to_document())))
    return again


def test_a_restart_of_the_daemon_forgets_nothing() -> None:
    watch = watch_of()
    look(watch, 0, nvml=nvml(gpu(ecc_uncorrected=3, throttle=0x40)))
    look(watch, 30, nvml=nvml(gpu(ecc_uncorrected=3, temperature=94)))
    again = restarted(watch)
    assert (again.tracks, again.memory, again.verdict()) == (watch.tracks, watch.memory, watch.verdict())
    assert report_of(again, 60) == [{**row, "duration_ms": None} for row in report_of(watch, 60)]


def test_a_boot_ends_what_was_latched() -> None:
    watch = watch_of()
    look(watch, 0, nvml=nvml(gpu(ecc_uncorrected=3)))
    again = restarted(watch, "boot-2")
    assert (again.tracks, again.memory) == ({}, {})


def test_other_settings_end_all_but_what_is_latched() -> None:
    watch = watch_of()
    look(watch, 0, nvml=nvml(gpu(ecc_uncorrected=3), gpus=[gpu(ecc_uncorrected=3)]))
    for at in (30, 60):
        look(watch, at, nvml=nvml(gpus=[gpu(ecc_uncorrected=3)]))
    assert {row["check"] for row in report_of(watch, 60) if row["status"] == CRITICAL} == {
        "gpu.count",
        "gpu.ecc.uncorrected",
    }
    again = restarted(watch, expect={"gpus": 1})
    assert [key[0] for key in again.tracks] == ["gpu.ecc.uncorrected"]


def test_what_is_switched_off_or_not_looked_at_any_more_is_not_held_against_the_node() -> None:
    watch = watch_of()
    look(watch, 0, nvml=nvml(gpu(ecc_uncorrected=3)))
    assert restarted(watch, checks={"gpu.ecc.uncorrected": {"enabled": False}}).tracks == {}
    document = watch.to_document()
    document["tracks"] = [["gpu.warmth", *track[1:]] for track in document["tracks"]]
    again = watch_of()
    again.restore(document)
    assert again.tracks == {}, "of another version of the agent"


def test_an_operator_clears_what_is_mended() -> None:
    watch = watch_of()
    event = {"seq": 1, "at": 0.0, "device": "0000:07:00", "code": 79, "switch": False, "text": ""}
    log = {"error": None, "events": [event]}
    look(watch, 1, kernel=log)
    assert watch.verdict().state == "unhealthy"
    assert told(watch.clear("gpu.xid", 2)) == [("gpu.xid", CRITICAL, OK)]
    assert told(watch.clear(None, 2)) == []
    look(watch, 3, kernel=log)
    assert watch.verdict().state == "healthy", "what was read is not read again"


def test_every_sampler_that_is_silent_makes_no_node_healthy() -> None:
    for name in SAMPLERS:
        watch = watch_of()
        for at in range(4):
            look(watch, at, **{name: Sample(failure="did not answer")})
        assert watch.verdict().state != "healthy", name


def test_alerts_come_once_a_fault_and_count_how_often_it_came_back() -> None:
    watch, book = watch_of(), {}
    hot = nvml(gpu(temperature=94))

    def rounds(at: int, **spoiled: Any) -> list[Any]:
        found = []
        for number in range(4):
            changes = look(watch, at + number, **spoiled)
            found += alerts.enter(book, changes, boot_id=BOOT, at=f"t{at + number}")
        return found

    assert rounds(0) == []
    (first,) = rounds(10, nvml=hot)
    assert (first["check"], first["status"], first["count"], first["active"]) == ("gpu.temperature", CRITICAL, 1, True)
    assert "fans" in first["action"]
    (over,) = rounds(20)
    assert (over["active"], over["status"], over["action"]) == (False, OK, "")
    (again,) = rounds(30, nvml=hot)
    assert (again["count"], again["first_seen"], again["last_seen"]) == (2, "t12", "t32")
    assert [alert["check"] for alert in alerts.active(book)] == ["gpu.temperature"]


def test_a_fault_that_comes_back_after_two_reboots_is_for_a_technician() -> None:
    book: dict[str, Facts] = {}
    for boot in ("boot-1", "boot-2", "boot-3"):
        watch = watch_of(boot)
        look(watch, 0)
        (alert,) = alerts.enter(book, look(watch, 1, nvml=nvml(gpu(ecc_uncorrected=1))), boot_id=boot, at=boot)
        alerts.enter(book, watch.clear(None, 2), boot_id=boot, at=boot)
    assert alert["action"] == "it came back after 2 reboots: have the hardware inspected"


def test_the_book_of_alerts_is_bounded() -> None:
    book = {f"own.{number}|": {"active": False, "last_seen": f"{number:05d}"} for number in range(2 * alerts.KEPT)}
    watch = watch_of()
    look(watch, 0)
    alerts.enter(book, look(watch, 1, nvml=nvml(gpu(ecc_uncorrected=1))), boot_id=BOOT, at="99999")
    assert len(book) == alerts.KEPT
    assert "gpu.ecc.uncorrected|GPU-0" in book


def test_node_exporter_can_read_it() -> None:
    rows = [{"check": "disk.free", "entity": '/a "b"\\', "status": WARNING}]
    text = prometheus({"score": None, "checks": rows, "boottime_s": 1.5})
    assert "muster_node_health_score NaN" in text
    assert r'muster_node_check_status{check="disk.free",entity="/a \"b\"\\"} 1' in text
    assert all(line.startswith(("# HELP", "# TYPE", "muster_node_")) for line in text.splitlines())


def test_alerts_of_what_is_not_looked_at_any_more_end() -> None:
    book: dict[str, Facts] = {}
    watch = watch_of()
    event = {"seq": 1, "at": 0.0, "device": "0000:07:00", "code": 79, "switch": False, "text": ""}
    changes = look(watch, 1, kernel={"error": None, "events": [event]})
    alerts.enter(book, changes, boot_id=BOOT, at="t1")
    again = watch_of("boot-2")
    look(again, 1)
    known = {"|".join(key) for key in again.tracks}
    (over,) = alerts.end(book, known, at="t2")
    assert (over["check"], over["active"], over["reason"]) == ("gpu.xid", False, "it is not looked at any more")
    assert (alerts.active(book), alerts.end(book, known, at="t3")) == ([], [])


def test_a_book_of_alerts_that_is_none_is_left_out() -> None:
    book: dict[str, Facts] = {}
    watch = watch_of()
    look(watch, 0)
    alerts.enter(book, look(watch, 1, nvml=nvml(gpu(ecc_uncorrected=1))), boot_id=BOOT, at="t1")
    assert alerts.read(json.loads(json.dumps(book))) == book
    assert alerts.read(None) == alerts.read({"a": 1, "b": {"active": True}}) == {}


def test_a_check_that_fails_takes_no_other_with_it() -> None:
    watch = watch_of()
    for at in range(3):
        look(watch, at, torch={"version": "2"}, tasks=[])
    rows = {row["check"]: row for row in report_of(watch, 3)}
    assert (rows["torch.ready"]["status"], rows["torch.ready"]["reason"]) == (
        UNKNOWN,
        "the check failed: KeyError: 'devices'",
    )
    assert rows["proc.zombie"]["reason"].startswith("the check failed: TypeError: ")
    assert rows["disk.free"]["status"] == OK


def test_an_own_check_that_is_switched_off_or_gone_holds_nothing_against_the_node() -> None:
    bad: Facts = {"error": None, "found": {"smart": {"code": 2, "output": "sda fails"}}}
    vital = {"vital": True, "fail_after": 1}
    watch = watch_of(checks={"own.smart": vital})
    look(watch, 0, own=bad)
    assert watch.verdict().state == "unhealthy"
    look(watch, 1, own={"error": None, "found": {}})
    assert watch.verdict().state == "healthy"
    watch = watch_of(checks={"own.smart": {**vital, "enabled": False}})
    look(watch, 0, own=bad)
    assert watch.verdict().state == "healthy"


def test_what_an_agent_of_another_version_has_written_is_begun_anew() -> None:
    watch = watch_of()
    assert watch.restore({"boot_id": BOOT, "tracks": [["disk.free", "/", [1], [2], None]], "memory": {}}) is False
    look(watch, 0)
    assert watch.verdict().state == "healthy"
