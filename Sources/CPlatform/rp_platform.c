#define _GNU_SOURCE
#include "rp_platform.h"

#include <errno.h>
#include <fcntl.h>
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

void *rp_allocate(uint64_t size) {
    uint64_t padded = size + 63;
    if (padded < size || padded > SIZE_MAX - 128) return NULL;
    padded = padded / 64 * 64;
    if (padded == 0) padded = 64;
    // calloc takes large blocks as fresh zero pages, which cost nothing until they are touched; the word before the returned
    // address remembers what to free.
    void *block = calloc(1, (size_t)padded + 64 + sizeof(void *));
    if (!block) return NULL;
    uintptr_t aligned = ((uintptr_t)block + sizeof(void *) + 63) & ~(uintptr_t)63;
    ((void **)aligned)[-1] = block;
    return (void *)aligned;
}

void rp_free(void *memory) {
    if (memory) free(((void **)memory)[-1]);
}

uint64_t rp_available_memory(void) {
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file) return 0;
    char line[128];
    unsigned long long kibibytes = 0;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemAvailable: %llu kB", &kibibytes) == 1) break;
    }
    fclose(file);
    uint64_t available = (uint64_t)kibibytes * 1024;
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur < available) available = limit.rlim_cur;
    return available;
}

uint64_t rp_peak_memory(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
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
