// Copyright (c) 2026 The Muster authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// What a GPU measures: memory and who holds it, temperature, power, clocks.

#define _GNU_SOURCE
#include "fake.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct process { u32 pid; char type; u64 bytes; };

static int sees(const char *pid, const char *uuid)  // whether CUDA_VISIBLE_DEVICES of a living process has this GPU
{
    char path[300], text[65536];
    snprintf(path, sizeof path, "/proc/%s/environ", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0) close(file);
    text[size > 0 ? size : 0] = 0;
    for (char *word = text; word < text + size; word += strlen(word) + 1)
        if (!strncmp(word, "CUDA_VISIBLE_DEVICES=", 21) && strstr(word, uuid)) return 1;
    return 0;
}

static u32 seeing(const gpu *device, struct process out[64])
{
    const char *uuid = setting(device->board, "uuid");
    DIR *processes = opendir("/proc");
    u32 found = 0;
    for (struct dirent *one; processes && uuid && found < 64 && (one = readdir(processes));) {
        u32 pid;
        if (sscanf(one->d_name, "%u", &pid) == 1 && sees(one->d_name, uuid))
            out[found++] = (struct process){pid, 'C', 512 * MIB};
    }
    if (processes) closedir(processes);
    return found;
}

static u32 processes(const gpu *device, char type, struct process out[64])  // "PID:C|G|M:BYTES, ..."; type * takes all
{
    const char *text = setting(device->board, "processes");
    char words[512], *rest, unit[32];
    u32 found = 0;
    if (text && !strcmp(text, "visible")) return type == 'G' ? 0 : seeing(device, out);
    snprintf(words, sizeof words, "%s", text && !not_available(text) ? text : "");
    for (char *word = strtok_r(words, ",", &rest); word && found < 64; word = strtok_r(NULL, ",", &rest)) {
        struct process *next = &out[found];
        if (sscanf(word, " %u:%c:%31s", &next->pid, &next->type, unit) != 3) continue;
        next->bytes = number(unit);
        found += type == '*' || type == next->type;
    }
    return found;
}

struct process_entry { u32 pid; u64 bytes; u32 gpu_instance, compute_instance; };
_Static_assert(sizeof(struct process_entry) == 24, "nvmlProcessInfo_t");
static status list(gpu *device, char type, u32 *count, struct process_entry *out)
{
    NEED(count);
    struct process all[64];
    u32 room = *count, found = processes(device, type, all);
    *count = found;
    if (found > room) return INSUFFICIENT_SIZE;
    for (u32 i = 0; i < found; i++) out[i] = (struct process_entry){all[i].pid, all[i].bytes, ~0u, ~0u};
    return SUCCESS;
}

#define PROCESSES(function, type) \
    API status function##_v3(gpu *device, u32 *count, struct process_entry *out) \
    LOOKUP(device, list(device, type, count, out)) \
    ALIAS(function##_v2, function##_v3);
PROCESSES(nvmlDeviceGetComputeRunningProcesses, 'C')
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses, 'G')

struct memory { u64 total, free, used; };
struct memory_v2 { u32 version; u64 total, reserved, free, used; };
_Static_assert(sizeof(struct memory) == 24 && sizeof(struct memory_v2) == 40, "nvmlMemory_t");
static status memory(gpu *device, struct memory_v2 *out)
{
    struct process all[64];
    u64 held = 0;
    for (u32 i = 0, found = processes(device, '*', all); i < found; i++) held += all[i].bytes;
    out->reserved = value(device, "memory_reserved", 551 * MIB);
    out->used = value(device, "memory_used", held);
    status answer = get(device, "memory_total", 81559 * MIB, &out->total);
    out->free = out->total - out->reserved - out->used;
    return answer;
}

API status nvmlDeviceGetMemoryInfo_v2(gpu *device, struct memory_v2 *out)
{
    ENTER(device);
    NEED(out);
    return out->version == VERSION(struct memory_v2, 2) ? memory(device, out) : VERSION_MISMATCH;
}

API status nvmlDeviceGetMemoryInfo(gpu *device, struct memory *out)
{
    ENTER(device);
    NEED(out);
    struct memory_v2 all = {0};
    status answer = memory(device, &all);
    if (!answer) *out = (struct memory){all.total, all.free, all.used + all.reserved};
    return answer;
}

NUMBER(nvmlDeviceGetPowerUsage, u32, "power", 71000)
NUMBER(nvmlDeviceGetEnforcedPowerLimit, u32, "power_limit", 700000)

API status nvmlDeviceGetTemperatureThreshold(gpu *device, u32 which, u32 *out)
{
    static const struct { const char *key; u64 otherwise; } thresholds[] = {
        {"temperature_shutdown", 95}, {"temperature_slowdown", 89},
        {"temperature_memory_max", 95}, {"temperature_max", 87}};
    ENTER(device);
    if (which >= sizeof thresholds / sizeof *thresholds) return NOT_SUPPORTED;
    return put(device, thresholds[which].key, thresholds[which].otherwise, out, sizeof *out);
}

API status nvmlDeviceGetTemperature(gpu *device, u32 sensor, u32 *out)
{
    ENTER(device);
    return sensor ? INVALID_ARGUMENT : put(device, "temperature", 36, out, sizeof *out);
}

struct margin { u32 version; int celsius; };
API status nvmlDeviceGetMarginTemperature(gpu *device, struct margin *out)
{
    ENTER(device);
    NEED(out);
    if (out->version != VERSION(struct margin, 1)) return VERSION_MISMATCH;
    u64 left = value(device, "temperature_max", 87) - value(device, "temperature", 36);
    return put(device, "temperature_margin", left, &out->celsius, sizeof out->celsius);
}

struct utilization { u32 gpu, memory; };
API status nvmlDeviceGetUtilizationRates(gpu *device, struct utilization *out)
{
    ENTER(device);
    NEED(out);
    out->memory = (u32)value(device, "memory_utilization", 0);
    return put(device, "utilization", 0, &out->gpu, sizeof out->gpu);
}

static status clock_mhz(gpu *device, u32 which, const char *suffix, u32 *out)
{
    static const char *const clocks[] = {"graphics", "sm", "memory", "video"};
    char key[64];
    if (which > 3) return INVALID_ARGUMENT;
    snprintf(key, sizeof key, "clock_%s%s", clocks[which], suffix);
    return put(device, key, which == 2 ? 2619 : 1980, out, sizeof *out);
}

API status nvmlDeviceGetClockInfo(gpu *device, u32 which, u32 *out)
LOOKUP(device, clock_mhz(device, which, "", out))

API status nvmlDeviceGetMaxClockInfo(gpu *device, u32 which, u32 *out)
LOOKUP(device, clock_mhz(device, which, "_max", out))

API status nvmlDeviceGetCurrentClocksEventReasons(gpu *device, u64 *out)  // "hw_slowdown|sync_boost", or the bits
{
    static const char *const reasons[] = {
        "gpu_idle", "applications_clocks", "sw_power_cap", "hw_slowdown", "sync_boost",
        "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "display_clock"};
    ENTER(device);
    NEED(out);
    const char *text = setting(device->board, "throttle");
    if (text && not_available(text)) return NOT_SUPPORTED;
    *out = text ? number(text) : value(device, "utilization", 0) == 0;
    char words[256], *rest;
    snprintf(words, sizeof words, "%s", text ? text : "");
    for (char *word = strtok_r(words, "|", &rest); word; word = strtok_r(NULL, "|", &rest))
        for (int bit = 0; bit < 9; bit++) if (!strcmp(word, reasons[bit])) *out |= 1ULL << bit;
    return SUCCESS;
}
ALIAS(nvmlDeviceGetCurrentClocksThrottleReasons, nvmlDeviceGetCurrentClocksEventReasons);
