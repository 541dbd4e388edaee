// Copyright (c) 2026 The Muster authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// The settings file: where it is, what it says now, and what its numbers mean.

#define _GNU_SOURCE
#include "fake.h"

#include <ctype.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { char *key, *text; } *lines;
static int count;
static struct stat seen;

const char *config_path(void)  // fakenvml.conf beside this library, wherever it was loaded from
{
    static char path[4096];
    pthread_mutex_lock(&lock);
    Dl_info self;
    if (!path[0] && dladdr((void *)config_path, &self)) {
        char *library = realpath(self.dli_fname, NULL);
        if (library)
            snprintf(path, sizeof path, "%.*s/fakenvml.conf", (int)(strrchr(library, '/') - library), library);
        free(library);
    }
    pthread_mutex_unlock(&lock);
    return path;
}

static char *trimmed(char *text)
{
    while (isspace((unsigned char)*text)) text++;
    char *end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1])) *--end = 0;
    return text;
}

static void parse(FILE *file)
{
    for (int i = 0; i < count; i++) { free(lines[i].key); free(lines[i].text); }
    count = 0;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) >= 0) {
        char *equals = strchr(line, '=');
        if (!equals) continue;
        *equals = 0;
        lines = realloc(lines, (count + 1) * sizeof *lines);
        lines[count].key = strdup(trimmed(line));
        lines[count++].text = strdup(trimmed(equals + 1));
    }
    free(line);
}

void config_reload(void)
{
    struct stat now;
    const char *path = config_path();
    pthread_mutex_lock(&lock);
    if (!stat(path, &now) && (now.st_ino != seen.st_ino || now.st_mtim.tv_sec != seen.st_mtim.tv_sec ||
                              now.st_mtim.tv_nsec != seen.st_mtim.tv_nsec || now.st_size != seen.st_size)) {
        FILE *file = fopen(path, "re");
        if (file) {
            parse(file);
            fclose(file);
            seen = now;
        }
    }
    pthread_mutex_unlock(&lock);
}

static const char *line(const char *key)
{
    for (int i = 0; i < count; i++) if (!strcmp(lines[i].key, key)) return lines[i].text;
    return NULL;
}

const char *setting(int board, const char *key)
{
    static __thread char copies[8][512];
    static __thread unsigned next;
    char full[256];
    const char *text;
    pthread_mutex_lock(&lock);
    if (board == MACHINE) {
        text = line(key);
    } else {
        snprintf(full, sizeof full, "gpu.%d.%s", board, key);
        text = line(full);
        snprintf(full, sizeof full, "gpu.*.%s", key);
        if (!text) text = line(full);
    }
    char *copy = copies[next++ % 8];
    if (text) snprintf(copy, sizeof copies[0], "%s", text);
    pthread_mutex_unlock(&lock);
    return text ? copy : NULL;
}

int not_available(const char *text) { return !strcasecmp(text, "N/A"); }

u64 number(const char *text)  // 12, 0x1f, 1.5GiB (bytes), 699.5W (mW)
{
    if (!strncasecmp(text, "0x", 2)) return strtoull(text, NULL, 16);
    char *unit;
    double amount = strtod(text, &unit);
    while (*unit == ' ') unit++;
    static const struct { const char *unit; double factor; } units[] = {
        {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {"W", 1000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcasecmp(unit, units[i].unit)) return (u64)(amount * units[i].factor);
    return strtoull(text, NULL, 10);
}

status get(const gpu *device, const char *key, u64 otherwise, u64 *out)
{
    const char *text = setting(device ? device->board : MACHINE, key);
    if (text && not_available(text)) return NOT_SUPPORTED;
    *out = text ? number(text) : otherwise;
    return SUCCESS;
}

u64 value(const gpu *device, const char *key, u64 otherwise)
{
    u64 out = 0;
    return get(device, key, otherwise, &out) ? 0 : out;
}

int boards(void)
{
    u64 all = value(NULL, "gpus", 0);
    return all < MAX_GPUS ? (int)all : MAX_GPUS;
}

int present(int board)
{
    const char *text = setting(board, "present");
    return board < boards() && (!text || number(text));
}

status put(const gpu *device, const char *key, u64 otherwise, void *out, size_t size)
{
    u64 found;
    NEED(out);
    status answer = get(device, key, otherwise, &found);
    if (!answer) memcpy(out, &found, size);  // little-endian, as every machine with an NVIDIA GPU is
    return answer;
}

status put_text(const gpu *device, const char *key, const char *otherwise, char *out, u32 size)
{
    const char *text = setting(device ? device->board : MACHINE, key);
    if (!text) text = otherwise;
    if (not_available(text)) return NOT_SUPPORTED;
    NEED(out);
    return (u32)snprintf(out, size, "%s", text) < size ? SUCCESS : INSUFFICIENT_SIZE;
}
