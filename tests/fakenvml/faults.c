// Copyright (c) 2026 The Muster authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Faults: what makes a call fail, wait or never come back.

#define _GNU_SOURCE
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct { status code; const char *name, *words; } errors[] = {
    {SUCCESS, "SUCCESS", "Success"},
    {UNINITIALIZED, "UNINITIALIZED", "Uninitialized"},
    {INVALID_ARGUMENT, "INVALID_ARGUMENT", "Invalid Argument"},
    {NOT_SUPPORTED, "NOT_SUPPORTED", "Not Supported"},
    {4, "NO_PERMISSION", "Insufficient Permissions"},
    {NOT_FOUND, "NOT_FOUND", "Not Found"},
    {INSUFFICIENT_SIZE, "INSUFFICIENT_SIZE", "Insufficient Size"},
    {9, "DRIVER_NOT_LOADED", "Driver Not Loaded"},
    {TIMEOUT, "TIMEOUT", "Timeout"},
    {13, "FUNCTION_NOT_FOUND", "Function Not Found"},
    {CORRUPTED_INFOROM, "CORRUPTED_INFOROM", "Corrupted infoROM"},
    {GPU_IS_LOST, "GPU_IS_LOST", "GPU is lost"},
    {RESET_REQUIRED, "RESET_REQUIRED", "GPU requires reset"},
    {18, "LIB_RM_VERSION_MISMATCH", "Driver/library version mismatch"},
    {VERSION_MISMATCH, "ARGUMENT_VERSION_MISMATCH", "Argument version mismatch"},
    {UNKNOWN, "UNKNOWN", "Unknown Error"},
};
#define ERRORS (sizeof errors / sizeof *errors)

API const char *nvmlErrorString(status code)
{
    for (size_t i = 0; i < ERRORS; i++) if (errors[i].code == code) return errors[i].words;
    return "Unknown Error";
}

static void sleep_for(double seconds)  // for ever if negative
{
    struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    if (seconds < 0) for (;;) pause();
    while (nanosleep(&left, &left) && errno == EINTR) {}
}

// In state D, as in a driver that does not answer: a thread that has vfork()ed waits uninterruptibly for its child.
// Only SIGKILL ends it.
static void sleep_uninterruptibly(double seconds)
{
    pid_t child = vfork();
    if (child == 0) {
        struct timespec left = {seconds < 0 ? 1000000000 : (time_t)seconds, 0};
        syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        syscall(SYS_nanosleep, &left, NULL);
        syscall(SYS_exit_group, 0);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
}

// In state D, and nothing ends it: it writes to a file on a file system that is frozen.
static void write_to(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (file >= 0 && write(file, "x", 1) == 1) fsync(file);
    if (file >= 0) close(file);
}

static status suffer(const char *fault)
{
    char word[512];
    snprintf(word, sizeof word, "%s", fault);
    char *argument = strchr(word, ':');
    if (argument) *argument++ = 0;
    double seconds = argument ? atof(argument) : -1;

    if (!strcmp(word, "lost")) return GPU_IS_LOST;
    if (!strcmp(word, "reset")) return RESET_REQUIRED;
    if (!strcmp(word, "crash")) raise(SIGSEGV);
    if (!strcmp(word, "hang")) sleep_for(seconds);
    if (!strcmp(word, "write") && argument) write_to(argument);
    if (!strcmp(word, "dstate")) sleep_uninterruptibly(seconds);
    if (strcmp(word, "error") || !argument) return SUCCESS;
    for (size_t i = 0; i < ERRORS; i++) if (!strcmp(errors[i].name, argument)) return errors[i].code;
    return atoi(argument) ? atoi(argument) : UNKNOWN;
}

static void log_call(const char *function, const gpu *device, status answer)
{
    const char *path = getenv("FAKE_NVML_LOG");
    int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (file < 0) return;
    dprintf(file, "%d %s %d %d\n", getpid(), function, device ? device->board : MACHINE, answer);
    close(file);
}

status enter(const char *function, const gpu *device)
{
    char name[96], key[128];
    snprintf(name, sizeof name, "%s", function);
    char *version = strstr(name, "_v");
    if (version) *version = 0;
    snprintf(key, sizeof key, "fault.%s", name);

    config_reload();
    status answer = strncmp(name, "nvmlInit", 8) && initialized <= 0 ? UNINITIALIZED : SUCCESS;
    if (!answer && device && (device < gpus || device >= gpus + MAX_GPUS)) return INVALID_ARGUMENT;
    int places[] = {device ? device->board : MACHINE, MACHINE};
    const char *keys[] = {key, "fault"};
    for (int place = device ? 0 : 1; place < 2; place++)
        for (int which = 0; which < 2 && !answer; which++) {
            const char *fault = setting(places[place], keys[which]);
            if (fault) answer = suffer(fault);
        }
    if (!answer && device && !present(device->board)) answer = GPU_IS_LOST;
    log_call(name, device, answer);
    return answer;
}
