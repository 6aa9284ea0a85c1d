/* A stand-in for libnvidia-ml.so.1, loaded by the real pynvml in the tests.
 *
 * It answers from the text file named by NVIDIA_STUB_SCENARIO, read again at every call, one "key = value" a line:
 *
 *   init = !9                  nvmlInit returns that NVML error; so for any other key
 *   count = 2                  cards
 *   hang.nvmlDeviceGetName = 2000    that call sleeps so many milliseconds first; "forever" never comes back
 *   0.name = NVIDIA L4         card 0; a key that is missing answers NVML_ERROR_NOT_SUPPORTED
 *   0.lost = 1                 every call on card 0 answers NVML_ERROR_GPU_IS_LOST
 *   0.mig.2.name = …           MIG instance 2 of card 0
 *   0.compute = 4242:1000 self:?     processes and bytes; "?" is NVML's "not available"
 *
 * With -DOLD_DRIVER the symbols that driver 470 does not have are left out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef void *device_t;
typedef unsigned long long u64;
enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, LOST = 15, VERSION = 25 };
#define MIG_SLOTS 7

static int open_count = 0;

/* The value of a key in the scenario file, trimmed; 0 when there is none. */
static int look_up(const char *key, char *value, size_t size) {
    const char *path = getenv("NVIDIA_STUB_SCENARIO");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[1024];
    int found = 0;
    if (!file) return 0;
    while (!found && fgets(line, sizeof line, file)) {
        char *equals = strstr(line, " = ");
        if (!equals) continue;
        *equals = 0;
        if (strcmp(line, key)) continue;
        snprintf(value, size, "%s", equals + 3);
        value[strcspn(value, "\n")] = 0;
        found = 1;
    }
    fclose(file);
    return found;
}

static void maybe_hang(const char *function) {
    char key[128], value[64];
    snprintf(key, sizeof key, "hang.%s", function);
    if (look_up(key, value, sizeof value)) {
        while (!strcmp(value, "forever")) pause();
        long ms = atol(value);
        struct timespec rest = {ms / 1000, (ms % 1000) * 1000000};
        nanosleep(&rest, NULL);
    }
}

/* The value, or the error that the scenario or its absence stands for. */
static int answer(const char *key, char *value, size_t size) {
    if (!look_up(key, value, size)) return NOT_SUPPORTED;
    return value[0] == '!' ? atoi(value + 1) : OK;
}

/* Handles: card i is i+1; its MIG instance j is (i+1)*256 + j+1. */
static int ask(device_t device, const char *function, const char *field, char *value, size_t size) {
    size_t number = (size_t)device;
    char key[128], lost[8];
    maybe_hang(function);
    if (!open_count) return UNINITIALIZED;
    size_t card = (number >= 256 ? number / 256 : number) - 1;
    snprintf(key, sizeof key, "%zu.lost", card);
    if (look_up(key, lost, sizeof lost) && lost[0] == '1') return LOST;
    if (number >= 256) snprintf(key, sizeof key, "%zu.mig.%zu.%s", card, number % 256 - 1, field);
    else snprintf(key, sizeof key, "%zu.%s", card, field);
    return answer(key, value, size);
}

static int ask_text(device_t device, const char *function, const char *field, char *out, unsigned size) {
    char value[1024];
    int code = ask(device, function, field, value, sizeof value);
    if (code == OK) snprintf(out, size, "%s", value);
    return code;
}

static int ask_number(device_t device, const char *function, const char *field, unsigned *out) {
    char value[1024];
    int code = ask(device, function, field, value, sizeof value);
    if (code == OK) *out = (unsigned)strtoul(value, NULL, 0);
    return code;
}

static int ask_pair(device_t device, const char *function, const char *field, u64 *first, u64 *second) {
    char value[1024], *rest;
    int code = ask(device, function, field, value, sizeof value);
    if (code == OK) {
        *first = strtoull(value, &rest, 0);
        *second = strtoull(rest, NULL, 0);
    }
    return code;
}

int nvmlInitWithFlags(unsigned flags) {
    char value[64];
    (void)flags;
    maybe_hang(__func__);
    int code = answer("init", value, sizeof value);
    if (code == NOT_SUPPORTED) code = OK;
    if (code == OK) __atomic_add_fetch(&open_count, 1, __ATOMIC_SEQ_CST); /* readers on several threads */
    return code;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) {
    if (!open_count) return UNINITIALIZED;
    __atomic_sub_fetch(&open_count, 1, __ATOMIC_SEQ_CST);
    return OK;
}
const char *nvmlErrorString(int code) { return code == OK ? "Success" : "stub error"; }

static int system_text(const char *key, char *out, unsigned size) {
    char value[256];
    int code = answer(key, value, sizeof value);
    if (code == OK) snprintf(out, size, "%s", value);
    return code;
}
int nvmlSystemGetDriverVersion(char *out, unsigned size) { return system_text("driver", out, size); }
int nvmlSystemGetNVMLVersion(char *out, unsigned size) { return system_text("nvml", out, size); }

int nvmlDeviceGetCount_v2(unsigned *count) {
    char value[64];
    if (!open_count) return UNINITIALIZED;
    int code = answer("count", value, sizeof value);
    if (code == OK) *count = (unsigned)atoi(value);
    return code;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *device) {
    unsigned count = 0;
    char key[64], value[64];
    int code = nvmlDeviceGetCount_v2(&count);
    if (code != OK) return code;
    if (index >= count) return INVALID;
    snprintf(key, sizeof key, "%u.handle", index);
    if (look_up(key, value, sizeof value) && value[0] == '!') return atoi(value + 1);
    snprintf(key, sizeof key, "%u.lost", index);
    if (look_up(key, value, sizeof value) && value[0] == '1') return LOST;
    *device = (device_t)(size_t)(index + 1);
    return OK;
}

int nvmlDeviceGetName(device_t d, char *out, unsigned size) { return ask_text(d, __func__, "name", out, size); }
int nvmlDeviceGetUUID(device_t d, char *out, unsigned size) { return ask_text(d, __func__, "uuid", out, size); }

int nvmlDeviceGetUtilizationRates(device_t d, unsigned *gpu_and_memory) {
    u64 gpu, memory;
    int code = ask_pair(d, __func__, "utilization", &gpu, &memory);
    if (code == OK) gpu_and_memory[0] = (unsigned)gpu, gpu_and_memory[1] = (unsigned)memory;
    return code;
}

struct memory { u64 total, free, used; };
struct memory_v2 { unsigned version; u64 total, reserved, free, used; };

/* memory = total used free reserved */
static int ask_memory(device_t d, const char *function, u64 figures[4]) {
    char value[1024], *rest = value;
    int code = ask(d, function, "memory", value, sizeof value);
    for (int i = 0; code == OK && i < 4; i++) figures[i] = strtoull(rest, &rest, 0);
    return code;
}
int nvmlDeviceGetMemoryInfo(device_t d, struct memory *out) {
    u64 figures[4];
    int code = ask_memory(d, __func__, figures);
    /* the first version has no reserved share: it counts as used */
    if (code == OK) out->total = figures[0], out->used = figures[1] + figures[3], out->free = figures[2];
    return code;
}
#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(device_t d, struct memory_v2 *out) {
    u64 figures[4];
    if (out->version != (sizeof *out | 2u << 24)) return VERSION;
    int code = ask_memory(d, __func__, figures);
    if (code == OK) out->total = figures[0], out->used = figures[1], out->free = figures[2], out->reserved = figures[3];
    return code;
}
struct temperature { unsigned version, sensor; int temperature; };
int nvmlDeviceGetTemperatureV(device_t d, struct temperature *out) {
    if (out->version != (sizeof *out | 1u << 24)) return VERSION;
    return ask_number(d, __func__, "temperature", (unsigned *)&out->temperature);
}
#endif
int nvmlDeviceGetTemperature(device_t d, unsigned sensor, unsigned *out) {
    return sensor ? INVALID : ask_number(d, __func__, "temperature", out);
}
int nvmlDeviceGetTemperatureThreshold(device_t d, unsigned threshold, unsigned *out) {
    return ask_number(d, __func__, threshold == 1 ? "slowdown" : "other_threshold", out);
}
int nvmlDeviceGetPowerUsage(device_t d, unsigned *out) { return ask_number(d, __func__, "power", out); }
int nvmlDeviceGetEnforcedPowerLimit(device_t d, unsigned *out) { return ask_number(d, __func__, "power_limit", out); }
int nvmlDeviceGetPowerManagementDefaultLimit(device_t d, unsigned *out) {
    return ask_number(d, __func__, "power_default", out);
}

struct pci { char bus_id_legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; };
/* pci = domain bus device */
int nvmlDeviceGetPciInfo_v3(device_t d, struct pci *out) {
    char value[256];
    int code = ask(d, __func__, "pci", value, sizeof value);
    memset(out, 0, sizeof *out);
    if (code == OK && sscanf(value, "%x %x %x", &out->domain, &out->bus, &out->device) != 3) return INVALID;
    return code;
}

static const char *clock_name(unsigned type) { return type == 1 ? "sm" : type == 2 ? "mem" : "other"; }
int nvmlDeviceGetClockInfo(device_t d, unsigned type, unsigned *out) {
    char field[32];
    snprintf(field, sizeof field, "clock_%s", clock_name(type));
    return ask_number(d, __func__, field, out);
}
int nvmlDeviceGetMaxClockInfo(device_t d, unsigned type, unsigned *out) {
    char field[32];
    snprintf(field, sizeof field, "clock_%s_max", clock_name(type));
    return ask_number(d, __func__, field, out);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(device_t d, u64 *out) {
    u64 unused;
    return ask_pair(d, __func__, "reasons", out, &unused);
}
#ifndef OLD_DRIVER
int nvmlDeviceGetCurrentClocksEventReasons(device_t d, u64 *out) {
    u64 unused;
    return ask_pair(d, __func__, "reasons", out, &unused);
}
#endif

int nvmlDeviceGetEccMode(device_t d, unsigned *now, unsigned *later) {
    *later = 0;
    return ask_number(d, __func__, "ecc_mode", now);
}
/* ecc_volatile and ecc_aggregate = corrected uncorrected */
int nvmlDeviceGetTotalEccErrors(device_t d, unsigned type, unsigned counter, u64 *out) {
    u64 counts[2];
    int code = ask_pair(d, __func__, counter ? "ecc_aggregate" : "ecc_volatile", &counts[0], &counts[1]);
    if (code == OK) *out = counts[type == 1];
    return code;
}

/* retired_0 (single-bit errors) and retired_1 (double-bit) = pages; the room is checked as NVML does */
int nvmlDeviceGetRetiredPages(device_t d, unsigned cause, unsigned *count, u64 *addresses) {
    char field[32];
    unsigned pages, room = *count;
    snprintf(field, sizeof field, "retired_%u", cause);
    int code = ask_number(d, __func__, field, &pages);
    if (code != OK) return code;
    *count = pages;
    if (pages > room) return TOO_SMALL;
    for (unsigned i = 0; i < pages; i++) addresses[i] = 0x1000u * (i + 1);
    return OK;
}
int nvmlDeviceGetRetiredPagesPendingStatus(device_t d, unsigned *out) {
    return ask_number(d, __func__, "retired_pending", out);
}

#ifndef OLD_DRIVER
/* remapped = corrected uncorrected pending failed */
int nvmlDeviceGetRemappedRows(device_t d, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
    char value[256];
    int code = ask(d, __func__, "remapped", value, sizeof value);
    if (code == OK && sscanf(value, "%u %u %u %u", corrected, uncorrected, pending, failed) != 4) return INVALID;
    return code;
}

int nvmlDeviceGetMigMode(device_t d, unsigned *now, unsigned *later) {
    *later = 0;
    return ask_number(d, __func__, "mig_mode", now);
}
int nvmlDeviceGetMaxMigDeviceCount(device_t d, unsigned *out) {
    (void)d;
    *out = MIG_SLOTS;
    return OK;
}
int nvmlDeviceGetMigDeviceHandleByIndex(device_t d, unsigned index, device_t *out) {
    char key[64], value[256];
    snprintf(key, sizeof key, "%zu.mig.%u.name", (size_t)d - 1, index);
    if (!look_up(key, value, sizeof value)) return NOT_FOUND;
    *out = (device_t)((size_t)d * 256 + index + 1);
    return OK;
}
#endif

struct process { unsigned pid; u64 used; unsigned gpu_instance, compute_instance; };

/* "pid:bytes pid:bytes@instance"; the caller's room is checked as NVML does, a null array with room 0 too */
static int ask_processes(device_t d, const char *function, const char *field, unsigned *count, struct process *out) {
    char value[1024], *save = NULL;
    struct process found[32];
    unsigned n = 0;
    int code = ask(d, function, field, value, sizeof value);
    if (code != OK) return code;
    for (char *word = strtok_r(value, " ", &save); word && n < 32; word = strtok_r(NULL, " ", &save)) {
        char *bytes = strchr(word, ':') + 1, *instance = strchr(word, '@');
        found[n].pid = strncmp(word, "self", 4) ? (unsigned)atoi(word) : (unsigned)getpid();
        found[n].used = *bytes == '?' ? ~0ull : strtoull(bytes, NULL, 0);
        found[n].gpu_instance = found[n].compute_instance = instance ? (unsigned)atoi(instance + 1) : ~0u;
        n++;
    }
    unsigned room = *count;
    *count = n;
    if (n > room) return TOO_SMALL;
    memcpy(out, found, n * sizeof *found);
    return OK;
}
#define PROCESSES(kind, field, version)                                                              \
    int nvmlDeviceGet##kind##RunningProcesses_##version(device_t d, unsigned *count, struct process *out) { \
        return ask_processes(d, __func__, field, count, out);                                        \
    }
PROCESSES(Compute, "compute", v2)
PROCESSES(Graphics, "graphics", v2)
#ifndef OLD_DRIVER
PROCESSES(Compute, "compute", v3)
PROCESSES(Graphics, "graphics", v3)
#endif

int nvmlDeviceGetPersistenceMode(device_t d, unsigned *out) { return ask_number(d, __func__, "persistence", out); }
int nvmlDeviceGetCudaComputeCapability(device_t d, int *major, int *minor) {
    u64 a, b;
    int code = ask_pair(d, __func__, "capability", &a, &b);
    if (code == OK) *major = (int)a, *minor = (int)b;
    return code;
}
int nvmlDeviceGetPerformanceState(device_t d, unsigned *out) { return ask_number(d, __func__, "pstate", out); }
int nvmlDeviceGetFanSpeed(device_t d, unsigned *out) { return ask_number(d, __func__, "fan", out); }
