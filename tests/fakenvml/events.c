// Copyright (c) 2026 The Muster authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Events: lines `BOARD XID` appended to <settings file>.events. An event set gets those added after it was made.

#define _GNU_SOURCE
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define XID_CRITICAL_ERROR 8

struct set { off_t at; u64 wanted[MAX_GPUS]; };
struct event { gpu *device; u64 type, data; u32 gpu_instance, compute_instance; };
_Static_assert(sizeof(struct event) == 32, "nvmlEventData_t");

static const char *events_path(char path[4200])
{
    snprintf(path, 4200, "%s.events", config_path());
    return path;
}

API status nvmlEventSetCreate(struct set **out)
{
    ENTER(NULL);
    NEED(out);
    char path[4200];
    struct stat file;
    *out = calloc(1, sizeof **out);
    (*out)->at = stat(events_path(path), &file) ? 0 : file.st_size;
    return SUCCESS;
}

API status nvmlEventSetFree(struct set *set)
{
    ENTER(NULL);
    free(set);
    return SUCCESS;
}

API status nvmlDeviceGetSupportedEventTypes(gpu *device, u64 *out)
{
    ENTER(device);
    NEED(out);
    *out = XID_CRITICAL_ERROR;
    return SUCCESS;
}

API status nvmlDeviceRegisterEvents(gpu *device, u64 types, struct set *set)
{
    ENTER(device);
    NEED(set);
    set->wanted[device->board] |= types;
    return SUCCESS;
}

static int next_event(struct set *set, struct event *out)
{
    char path[4200], line[128];
    FILE *file = fopen(events_path(path), "re");
    int found = 0, board, xid;
    if (!file) return 0;
    fseeko(file, set->at, SEEK_SET);
    while (!found && fgets(line, sizeof line, file) && strchr(line, '\n')) {  // half a line: its rest is on the way
        set->at = ftello(file);
        found = sscanf(line, "%d %d", &board, &xid) == 2 && board >= 0 && board < MAX_GPUS &&
                set->wanted[board] & XID_CRITICAL_ERROR;
    }
    fclose(file);
    if (found) *out = (struct event){&gpus[board], XID_CRITICAL_ERROR, (u64)xid, ~0u, ~0u};
    return found;
}

static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

API status nvmlEventSetWait_v2(struct set *set, struct event *out, u32 timeout_ms)
{
    ENTER(NULL);
    NEED(set && out);
    double deadline = clock_s() + timeout_ms / 1e3;
    while (!next_event(set, out)) {
        if (clock_s() >= deadline) return TIMEOUT;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    return SUCCESS;
}
ALIAS(nvmlEventSetWait, nvmlEventSetWait_v2);
