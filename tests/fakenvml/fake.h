// Copyright (c) 2026 The Muster authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// A stand-in for NVIDIA's libnvidia-ml.so.1, for tests on machines without a GPU.
//
// It answers from a text file of `key = value` lines that is read again whenever it changes, so that a running program
// sees a fault come and go. `__init__.py` beside this file writes that file and describes its keys. Every type here is
// our own: nothing is taken from nvml.h; the sizes that are asserted are those of the types named beside them.

#pragma once

#include <sys/types.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef int status;

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    TIMEOUT = 10, CORRUPTED_INFOROM = 14, GPU_IS_LOST = 15, RESET_REQUIRED = 16, VERSION_MISMATCH = 25, UNKNOWN = 999
};

#define MAX_GPUS 64
#define MACHINE (-1)  // in place of a board: the setting of the machine, not of a GPU

// What callers hold as nvmlDevice_t. A board keeps its number when another one disappears; the index does not.
typedef struct { int board; } gpu;
extern gpu gpus[MAX_GPUS];
extern int initialized;

#define API __attribute__((visibility("default")))
#define ALIAS(name, target) API __typeof__(target) name __attribute__((alias(#target)))

// config.c
void config_reload(void);
const char *config_path(void);
const char *setting(int board, const char *key);  // NULL: not in the file. Good until seven more were asked for.
int not_available(const char *text);
u64 number(const char *text);
status get(const gpu *device, const char *key, u64 otherwise, u64 *out);
u64 value(const gpu *device, const char *key, u64 otherwise);
status put(const gpu *device, const char *key, u64 otherwise, void *out, size_t size);
status put_text(const gpu *device, const char *key, const char *otherwise, char *out, u32 size);
int boards(void);
int present(int board);

// faults.c: what every entry point calls first; anything but SUCCESS is its answer.
status enter(const char *function, const gpu *device);
#define ENTER(device) do { status refused = enter(__func__, device); if (refused) return refused; } while (0)
#define NEED(pointer) do { if (!(pointer)) return INVALID_ARGUMENT; } while (0)

// The body of an entry point that only looks something up; and entry points that answer with one setting.
#define LOOKUP(device, answer) { ENTER(device); return answer; }
#define NUMBER(function, type, key, otherwise) \
    API status function(gpu *device, type *out) LOOKUP(device, put(device, key, otherwise, out, sizeof *out))
#define TEXT(function, key, otherwise) \
    API status function(gpu *device, char *out, u32 size) LOOKUP(device, put_text(device, key, otherwise, out, size))
#define MIB (1ULL << 20)
#define VERSION(type, number) (sizeof(type) | (number##u << 24))  // how NVML's versioned structs name themselves
