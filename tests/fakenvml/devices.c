// Copyright (c) 2026 The Muster authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The library itself, which GPUs there are, and what they are.

#define _GNU_SOURCE
#include "fake.h"

#include <stdio.h>
#include <string.h>

gpu gpus[MAX_GPUS];
int initialized;

#define DRIVER "570.124.06"

API status nvmlInitWithFlags(u32 flags)
{
    (void)flags;
    status refused = enter("nvmlInit", NULL);
    if (refused) return refused;
    for (int board = 0; board < MAX_GPUS; board++) gpus[board].board = board;
    __atomic_add_fetch(&initialized, 1, __ATOMIC_SEQ_CST);
    return SUCCESS;
}
API status nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
ALIAS(nvmlInit, nvmlInit_v2);

API status nvmlShutdown(void)
{
    ENTER(NULL);
    __atomic_sub_fetch(&initialized, 1, __ATOMIC_SEQ_CST);
    return SUCCESS;
}

API status nvmlSystemGetDriverVersion(char *out, u32 size)
LOOKUP(NULL, put_text(NULL, "driver_version", DRIVER, out, size))

API status nvmlSystemGetNVMLVersion(char *out, u32 size)
LOOKUP(NULL, put_text(NULL, "nvml_version", "12." DRIVER, out, size))

API status nvmlSystemGetCudaDriverVersion_v2(int *out)
LOOKUP(NULL, put(NULL, "cuda_version", 12080, out, sizeof *out))
ALIAS(nvmlSystemGetCudaDriverVersion, nvmlSystemGetCudaDriverVersion_v2);

static int index_of(int board)
{
    int index = 0;
    for (int other = 0; other < board; other++) index += present(other);
    return index;
}

static status handle(int board, gpu **out)
{
    NEED(out);
    status refused = enter("nvmlDeviceGetHandle", &gpus[board]);
    if (!refused) *out = &gpus[board];
    return refused;
}

API status nvmlDeviceGetCount_v2(u32 *out)
{
    ENTER(NULL);
    NEED(out);
    *out = (u32)index_of(boards());
    return SUCCESS;
}
ALIAS(nvmlDeviceGetCount, nvmlDeviceGetCount_v2);

API status nvmlDeviceGetHandleByIndex_v2(u32 index, gpu **out)
{
    ENTER(NULL);
    for (int board = 0; board < boards(); board++)
        if (present(board) && index-- == 0) return handle(board, out);
    return INVALID_ARGUMENT;
}
ALIAS(nvmlDeviceGetHandleByIndex, nvmlDeviceGetHandleByIndex_v2);

API status nvmlDeviceGetHandleByUUID(const char *wanted, gpu **out)
{
    ENTER(NULL);
    for (int board = 0; board < boards(); board++) {
        const char *uuid = setting(board, "uuid");
        if (present(board) && uuid && !strcmp(uuid, wanted)) return handle(board, out);
    }
    return NOT_FOUND;
}

TEXT(nvmlDeviceGetName, "name", "NVIDIA H100 80GB HBM3")
TEXT(nvmlDeviceGetUUID, "uuid", "N/A")
TEXT(nvmlDeviceGetVbiosVersion, "vbios", "96.00.99.00.01")
NUMBER(nvmlDeviceGetPersistenceMode, u32, "persistence", 1)

API status nvmlDeviceGetIndex(gpu *device, u32 *out)
{
    ENTER(device);
    NEED(out);
    *out = (u32)index_of(device->board);
    return SUCCESS;
}

struct pci { char legacy_id[16]; u32 domain, bus, device, id, subsystem; char id_text[32]; };
_Static_assert(sizeof(struct pci) == 68, "nvmlPciInfo_t");
API status nvmlDeviceGetPciInfo_v3(gpu *device, struct pci *out)
{
    ENTER(device);
    NEED(out);
    *out = (struct pci){.id = 0x233010DE, .subsystem = 0x16C110DE};
    status answer = put_text(device, "pci", "N/A", out->id_text, sizeof out->id_text);
    sscanf(out->id_text, "%x:%x:%x", &out->domain, &out->bus, &out->device);
    snprintf(out->legacy_id, sizeof out->legacy_id, "%04hX:%02hhX:%02hhX.0", (unsigned short)out->domain,
             (unsigned char)out->bus, (unsigned char)out->device);
    return answer;
}
ALIAS(nvmlDeviceGetPciInfo, nvmlDeviceGetPciInfo_v3);

static status mode(gpu *device, const char *key, u64 otherwise, u32 *current, u32 *pending)
{
    char pending_key[64];
    NEED(current && pending);
    status answer = put(device, key, otherwise, current, sizeof *current);
    snprintf(pending_key, sizeof pending_key, "%s_pending", key);
    if (!answer) *pending = (u32)value(device, pending_key, *current);
    return answer;
}

API status nvmlDeviceGetMigMode(gpu *device, u32 *current, u32 *pending)
LOOKUP(device, mode(device, "mig", 0, current, pending))

API status nvmlDeviceGetEccMode(gpu *device, u32 *current, u32 *pending)
LOOKUP(device, mode(device, "ecc_mode", 1, current, pending))

API status nvmlDeviceValidateInforom(gpu *device)
LOOKUP(device, value(device, "inforom_corrupt", 0) ? CORRUPTED_INFOROM : SUCCESS)

// What gpustat and nvitop also ask for, and no check does.
#define UNSUPPORTED(function) API status function(gpu *device) LOOKUP(device, NOT_SUPPORTED)
UNSUPPORTED(nvmlDeviceGetComputeMode)
UNSUPPORTED(nvmlDeviceGetDecoderUtilization)
UNSUPPORTED(nvmlDeviceGetDisplayActive)
UNSUPPORTED(nvmlDeviceGetDriverModel_v2)
UNSUPPORTED(nvmlDeviceGetEncoderUtilization)
UNSUPPORTED(nvmlDeviceGetFanSpeed)
UNSUPPORTED(nvmlDeviceGetPerformanceState)
UNSUPPORTED(nvmlDeviceGetPowerManagementLimit)
