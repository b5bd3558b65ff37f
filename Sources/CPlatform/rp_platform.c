#define _GNU_SOURCE
#include "rp_platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int rp_map(const char *path, rp_mapping *mapping) {
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return errno;
    struct stat status;
    int error = 0;
    if (fstat(file, &status) != 0) error = errno;
    else if (S_ISDIR(status.st_mode)) error = EISDIR;
    else if (!S_ISREG(status.st_mode)) error = RP_NOT_REGULAR;
    else if (status.st_size == 0) error = RP_EMPTY;
    if (error == 0) {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (bytes == MAP_FAILED) {
            error = errno;
        } else {
            mapping->bytes = bytes;
            mapping->size = (uint64_t)status.st_size;
        }
    }
    close(file);
    return error;
}

void rp_unmap(rp_mapping mapping) {
    if (mapping.bytes) munmap((void *)mapping.bytes, (size_t)mapping.size);
}

const char *rp_error_text(int code) {
    return code == RP_EMPTY ? "the file is empty" : code == RP_NOT_REGULAR ? "not a regular file" : strerror(code);
}

void rp_release(rp_mapping mapping, uint64_t offset, uint64_t size) {
    if (!mapping.bytes || offset >= mapping.size || size == 0) return;
    if (size > mapping.size - offset) size = mapping.size - offset;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t start = (offset + page - 1) / page * page, end = (offset + size) / page * page;
    if (start < end) madvise((char *)mapping.bytes + start, (size_t)(end - start), MADV_DONTNEED);
}

// Stands before what rp_allocate returns.
typedef struct block_header {
    void *block;
    size_t mapped; // bytes, 0 where calloc gave the block
} block_header;

enum { LARGE_BLOCK = 1 << 20 };

void *rp_allocate(uint64_t size) {
    uint64_t padded = size + 63;
    if (padded < size || padded > SIZE_MAX - 128) return NULL;
    padded = padded / 64 * 64;
    if (padded == 0) padded = 64;
    block_header header = {.mapped = padded < LARGE_BLOCK ? 0 : (size_t)padded + 64};
    // The library would keep large blocks that were freed once, and fill them with zeros to give them out again; pages that are mapped go back
    // to the system, and cost nothing until they are touched.
    if (header.mapped) {
        header.block = mmap(NULL, header.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (header.block == MAP_FAILED) return NULL;
    } else {
        header.block = calloc(1, (size_t)padded + 64 + sizeof header);
        if (!header.block) return NULL;
    }
    const uintptr_t aligned = ((uintptr_t)header.block + sizeof header + 63) & ~(uintptr_t)63;
    ((block_header *)aligned)[-1] = header;
    return (void *)aligned;
}

void rp_free(void *memory) {
    if (!memory) return;
    const block_header header = ((block_header *)memory)[-1];
    if (header.mapped) munmap(header.block, header.mapped);
    else free(header.block);
}

void rp_prefer_large_pages(void *memory) {
    if (!memory) return;
    const block_header header = ((block_header *)memory)[-1];
#if defined(MADV_HUGEPAGE)
    if (header.mapped) madvise(header.block, header.mapped, MADV_HUGEPAGE);
#else
    (void)header;
#endif
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static FILE *open_in(const char *folder, const char *name) {
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length < 0 || (size_t)length >= sizeof path ? NULL : fopen(path, "re");
}

// The number in a group's file; UINT64_MAX for "max" and where there is none.
static uint64_t group_number(const char *folder, const char *name) {
    FILE *file = open_in(folder, name);
    if (!file) return UINT64_MAX;
    unsigned long long number;
    if (fscanf(file, "%llu", &number) != 1) number = UINT64_MAX;
    fclose(file);
    return number;
}

// Pages of files that count as a group's and would be given up where memory is short: a model that is mapped is among them.
static uint64_t group_file_pages(const char *folder) {
    FILE *file = open_in(folder, "memory.stat");
    if (!file) return 0;
    char line[128];
    uint64_t bytes = 0;
    unsigned long long number;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "active_file %llu", &number) == 1 || sscanf(line, "inactive_file %llu", &number) == 1) {
            bytes += least(number, UINT64_MAX - bytes);
        }
    }
    fclose(file);
    return bytes;
}

// Appends to `folder` the group that `membership` names after "0::"; leaves it as it is where there is none that can be seen from here.
static void append_group(char *folder, size_t size, const char *membership) {
    FILE *file = fopen(membership, "re");
    if (!file) return;
    const size_t used = strlen(folder);
    char line[PATH_MAX];
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "0::/", 4) != 0) continue;
        line[strcspn(line, "\n")] = 0;
        const char *group = line + 3;
        if (!strstr(group, "/..") && strlen(group) < size - used) strcpy(folder + used, group);
        break;
    }
    fclose(file);
}

// The least that a group and those around it leave, each as `left` says of its folder.
static uint64_t least_of_groups(const char *membership, const char *root, uint64_t (*left)(const char *folder)) {
    char folder[PATH_MAX];
    const size_t shortest = strlen(root);
    if (shortest >= sizeof folder) return UINT64_MAX;
    strcpy(folder, root);
    append_group(folder, sizeof folder, membership);
    uint64_t found = UINT64_MAX;
    for (;;) {
        found = least(found, left(folder));
        char *end = strrchr(folder, '/');
        if (!end || end < folder + shortest) return found;
        *end = 0;
    }
}

static uint64_t memory_left(const char *folder) {
    const uint64_t limit = group_number(folder, "memory.max"), current = group_number(folder, "memory.current");
    if (limit == UINT64_MAX || current == UINT64_MAX) return UINT64_MAX;
    const uint64_t kept = current - least(current, group_file_pages(folder));
    return limit - least(limit, kept);
}

uint64_t rp_group_memory(const char *membership, const char *root) { return least_of_groups(membership, root, memory_left); }

// Time in a period, rounded up to whole processors.
static uint64_t processors_left(const char *folder) {
    FILE *file = open_in(folder, "cpu.max");
    if (!file) return UINT64_MAX;
    unsigned long long time, period;
    const int found = fscanf(file, "%llu %llu", &time, &period); // "max 100000" where there is no limit
    fclose(file);
    return found == 2 && time > 0 && period > 0 ? time / period + (time % period != 0) : UINT64_MAX;
}

uint64_t rp_group_processors(const char *membership, const char *root) { return least_of_groups(membership, root, processors_left); }

static const char own_groups[] = "/proc/self/cgroup", all_groups[] = "/sys/fs/cgroup";

uint64_t rp_allowed_processors(void) { return rp_group_processors(own_groups, all_groups); }

uint64_t rp_available_memory(void) {
    uint64_t available = UINT64_MAX;
    FILE *file = fopen("/proc/meminfo", "re");
    if (file) {
        char line[128];
        unsigned long long kibibytes;
        while (fgets(line, sizeof line, file)) {
            if (sscanf(line, "MemAvailable: %llu kB", &kibibytes) == 1) {
                available = (uint64_t)kibibytes * 1024;
                break;
            }
        }
        fclose(file);
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0) available = least(available, limit.rlim_cur);
    available = least(available, rp_group_memory(own_groups, all_groups));
    // 0 would say that it is not known.
    return available == UINT64_MAX ? 0 : available == 0 ? 1 : available;
}

uint64_t rp_peak_memory(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

#if defined(RK_SERIAL)

int rp_start_threads(int count, uint64_t stack) {
    (void)stack;
    return count;
}

#else

// The most threads that were there at once beside a caller's.
static int most_started;

static void *pass_gate(void *gate) {
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

// More the more threads this process has; 0 where the system does not say.
static uint64_t thread_links(void) {
    struct stat status;
    return stat("/proc/self/task", &status) == 0 ? (uint64_t)status.st_nlink : 0;
}

int rp_start_threads(int count, uint64_t stack) {
    const int had = __atomic_load_n(&most_started, __ATOMIC_RELAXED);
    if (count <= had) return count;
    pthread_t *threads = malloc((size_t)count * sizeof *threads);
    pthread_attr_t attributes;
    if (!threads || pthread_attr_init(&attributes) != 0) {
        free(threads);
        return had;
    }
    pthread_attr_setstacksize(&attributes, (size_t)stack);
    const uint64_t links = thread_links();
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&gate);
    int started = 0, error = 0;
    while (started < count && (error = pthread_create(&threads[started], &attributes, pass_gate, &gate)) == 0) started++;
    pthread_mutex_unlock(&gate);
    for (int index = 0; index < started; index++) pthread_join(threads[index], NULL);
    // A thread that was joined counts against limits until the kernel has taken it down.
    for (const double end = rp_seconds() + 0.002; thread_links() > links && rp_seconds() < end;) sched_yield();
    pthread_mutex_destroy(&gate);
    pthread_attr_destroy(&attributes);
    free(threads);
    if (error == 0) __atomic_store_n(&most_started, count, __ATOMIC_RELAXED);
    // A stack that does not suit the system says nothing of threads.
    if (error == 0 || error == EINVAL) return count;
    return started > had ? started : had;
}

#endif

void rp_unset_variables(const char *prefix) {
    const size_t length = strlen(prefix);
    for (char **variable = environ; variable && *variable;) {
        const char *end = strchr(*variable, '=');
        char *name = end && strncmp(*variable, prefix, length) == 0 ? strndup(*variable, (size_t)(end - *variable)) : NULL;
        // Those behind it move up.
        if (!name || unsetenv(name) != 0) variable++;
        free(name);
    }
}

void rp_flag_raise(int32_t *flag) {
    __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
}

void rp_flag_lower(int32_t *flag) {
    __atomic_store_n(flag, 0, __ATOMIC_RELAXED);
}

int rp_flag_is_raised(const int32_t *flag) {
    return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}

int rp_flag_take(int32_t *flag) {
    int32_t unheld = 0;
    return __atomic_compare_exchange_n(flag, &unheld, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void rp_flag_give_back(int32_t *flag) {
    __atomic_store_n(flag, 0, __ATOMIC_RELEASE);
}

double rp_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

uint64_t rp_random_seed(void) {
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        struct timespec time;
        clock_gettime(CLOCK_REALTIME, &time);
        seed = (uint64_t)time.tv_sec * 1000000007u ^ (uint64_t)time.tv_nsec;
    }
    return seed;
}
