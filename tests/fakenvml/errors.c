// Copyright (c) 2026 The Muster authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What wears out: links, memory cells, and the counters that say so.

#define _GNU_SOURCE
#include "fake.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, u32, "pcie_generation", 5)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, u32, "pcie_generation_max", 5)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, u32, "pcie_width", 16)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, u32, "pcie_width_max", 16)
NUMBER(nvmlDeviceGetPcieReplayCounter, u32, "pcie_replays", 0)

static status nvlink(gpu *device, u32 link, const char *what, u64 otherwise, void *out, size_t size)
{
    char key[64];
    if (link >= value(device, "nvlinks", 18)) return link < 18 ? NOT_SUPPORTED : INVALID_ARGUMENT;
    snprintf(key, sizeof key, "nvlink.%u.%s", link, what);
    return put(device, key, otherwise, out, size);
}

API status nvmlDeviceGetNvLinkState(gpu *device, u32 link, u32 *out)
LOOKUP(device, nvlink(device, link, "state", 1, out, sizeof *out))

API status nvmlDeviceGetNvLinkErrorCounter(gpu *device, u32 link, u32 which, u64 *out)
{
    static const char *const counters[] = {"replay", "recovery", "crc_flit", "crc_data", "ecc_data"};
    ENTER(device);
    return which < 5 ? nvlink(device, link, counters[which], 0, out, sizeof *out) : INVALID_ARGUMENT;
}

struct fabric { u32 version; unsigned char cluster[16]; u32 status, clique, state, health; unsigned char summary; };
_Static_assert(sizeof(struct fabric) == 40, "nvmlGpuFabricInfo_v3_t");
API status nvmlDeviceGetGpuFabricInfoV(gpu *device, struct fabric *out)
{
    ENTER(device);
    NEED(out);
    int v3 = out->version == VERSION(struct fabric, 3);
    if (!v3 && out->version != (36 | 2u << 24)) return VERSION_MISMATCH;
    memset(out->cluster, 0, sizeof out->cluster);
    out->clique = 0;
    out->status = (u32)value(device, "fabric_status", 0);
    out->health = (u32)value(device, "fabric_health", 0);
    if (v3) out->summary = (unsigned char)value(device, "fabric_summary", 1);
    return put(device, "fabric_state", 3, &out->state, sizeof out->state);
}

API status nvmlDeviceGetTotalEccErrors(gpu *device, u32 uncorrected, u32 aggregate, u64 *out)
{
    ENTER(device);
    NEED(uncorrected < 2 && aggregate < 2);
    char key[64];
    if (!value(device, "ecc_mode", 1)) return NOT_SUPPORTED;
    snprintf(key, sizeof key, "ecc.%s.%s", uncorrected ? "uncorrected" : "corrected",
             aggregate ? "aggregate" : "volatile");
    return put(device, key, 0, out, sizeof *out);
}

struct sram {
    u32 version;
    u64 aggregate_parity, aggregate_secded, aggregate_corrected, volatile_parity, volatile_secded, volatile_corrected;
    u64 aggregate_by_unit[5];
    u32 threshold_exceeded;
};
_Static_assert(sizeof(struct sram) == 104, "nvmlEccSramErrorStatus_v1_t");
API status nvmlDeviceGetSramEccErrorStatus(gpu *device, struct sram *out)
{
    ENTER(device);
    NEED(out);
    if (out->version != VERSION(struct sram, 1)) return VERSION_MISMATCH;
    *out = (struct sram){
        .version = out->version,
        .aggregate_secded = value(device, "sram.uncorrected.aggregate", 0),
        .aggregate_corrected = value(device, "sram.corrected.aggregate", 0),
        .volatile_secded = value(device, "sram.uncorrected.volatile", 0),
        .volatile_corrected = value(device, "sram.corrected.volatile", 0)};
    return put(device, "sram.threshold_exceeded", 0, &out->threshold_exceeded, sizeof out->threshold_exceeded);
}

API status nvmlDeviceGetRemappedRows(gpu *device, u32 *corrected, u32 *uncorrected, u32 *pending, u32 *failure)
{
    ENTER(device);
    NEED(corrected && uncorrected && pending && failure);
    *uncorrected = (u32)value(device, "remap.uncorrectable", 0);
    *pending = (u32)value(device, "remap.pending", 0);
    *failure = (u32)value(device, "remap.failure", 0);
    return put(device, "remap.correctable", 0, corrected, sizeof *corrected);
}

// GPUs before Ampere retire pages; later ones, which remap rows instead, do not support the question.
static const char *const retired[] = {"retired_sbe", "retired_dbe"};
API status nvmlDeviceGetRetiredPages_v2(gpu *device, u32 cause, u32 *count, u64 *addresses, u64 *times)
{
    ENTER(device);
    NEED(count && cause < 2);
    if (!setting(device->board, retired[cause])) return NOT_SUPPORTED;
    u32 room = *count;
    *count = (u32)value(device, retired[cause], 0);
    if (room < *count) return INSUFFICIENT_SIZE;
    for (u32 i = 0; i < *count; i++) {
        addresses[i] = 0x100000 + 0x1000ULL * i;
        if (times) times[i] = 0;
    }
    return SUCCESS;
}

API status nvmlDeviceGetRetiredPages(gpu *device, u32 cause, u32 *count, u64 *addresses)
{
    return nvmlDeviceGetRetiredPages_v2(device, cause, count, addresses, NULL);
}

API status nvmlDeviceGetRetiredPagesPendingStatus(gpu *device, u32 *out)
{
    ENTER(device);
    if (!setting(device->board, "retired_pending")) return NOT_SUPPORTED;
    return put(device, "retired_pending", 0, out, sizeof *out);
}

struct field { u32 id, scope; long long time_us, latency_us; u32 type; status answer; u64 number; };
_Static_assert(sizeof(struct field) == 40, "nvmlFieldValue_t");
API status nvmlDeviceGetFieldValues(gpu *device, int count, struct field *out)
{
    static const struct { u32 id; const char *key; u64 otherwise; } fields[] = {
        {82, "temperature_memory", 40}, {91, "nvlinks", 18}, {94, "pcie_replays", 0}, {142, "remap.correctable", 0},
        {143, "remap.uncorrectable", 0}, {144, "remap.pending", 0}, {145, "remap.failure", 0}, {185, "power", 71000},
        {186, "power", 71000}, {230, "recovery_action", 0}};
    ENTER(device);
    NEED(out && count > 0);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (struct field *field = out; field < out + count; field++) {
        field->time_us = now.tv_sec * 1000000LL + now.tv_nsec / 1000;
        field->latency_us = 0;
        field->type = 3;  // unsigned long long
        field->answer = NOT_SUPPORTED;
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            if (fields[i].id == field->id)
                field->answer = put(device, fields[i].key, fields[i].otherwise, &field->number, sizeof field->number);
    }
    return SUCCESS;
}
