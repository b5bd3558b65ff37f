#define _GNU_SOURCE
#include "rp_platform.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORD_BITS = 64, LONGEST_LIST = 4096 };

static int is_in(const uint64_t *mask, uint64_t processor) {
    return mask[processor / WORD_BITS] >> processor % WORD_BITS & 1;
}

// What a file of a processor's folder says, "" where it says nothing or more than fits.
static void read_text(const char *root, uint64_t processor, const char *name, char *text, size_t size) {
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s/cpu%llu/%s", root, (unsigned long long)processor, name);
    text[0] = 0;
    const int file = length > 0 && (size_t)length < sizeof path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (file < 0) return;
    const ssize_t count = read(file, text, size);
    close(file);
    text[count > 0 && (size_t)count < size ? count : 0] = 0;
}

// Takes the digits that `text` begins with; returns whether there are any.
static int take_number(const char **text, uint64_t *number) {
    if (**text < '0' || **text > '9') return 0;
    char *end;
    *number = strtoull(*text, &end, 10);
    *text = end;
    return 1;
}

// Whether a list such as "0-3,8" names `own` and, before it, another one of the mask. What is no list says nothing.
static int names_one_before(const char *list, const uint64_t *mask, uint64_t own) {
    int has_own = 0, has_other = 0;
    for (;; list++) {
        uint64_t first, last;
        if (!take_number(&list, &first)) return 0;
        last = first;
        if (*list == '-') {
            list++;
            if (!take_number(&list, &last)) return 0;
        }
        has_own |= first <= own && own <= last;
        for (uint64_t other = first; other < own && other <= last && !has_other; other++) has_other = is_in(mask, other);
        if (*list != ',') return has_own && has_other && (*list == '\n' || *list == 0);
    }
}

static int shares_core_with_one_before(const uint64_t *mask, uint64_t processor, const char *root) {
    char list[LONGEST_LIST];
    read_text(root, processor, "topology/core_cpus_list", list, sizeof list);
    // Its name before Linux 5.4.
    if (!list[0]) read_text(root, processor, "topology/thread_siblings_list", list, sizeof list);
    return names_one_before(list, mask, processor);
}

// The relative speed of a processor, 1024 for the fastest kind; 0 where the kernel does not say.
static uint64_t capacity(uint64_t processor, const char *root) {
    char text[32];
    read_text(root, processor, "cpu_capacity", text, sizeof text);
    const char *rest = text;
    uint64_t number;
    return take_number(&rest, &number) ? number : 0;
}

uint64_t rp_cores(const uint64_t *mask, size_t words, const char *root) {
    const uint64_t processors = (uint64_t)words * WORD_BITS;
    uint64_t fastest = 0, count = 0;
    for (uint64_t processor = 0; processor < processors; processor++) {
        const uint64_t own = is_in(mask, processor) ? capacity(processor, root) : 0;
        fastest = own > fastest ? own : fastest;
    }
    for (uint64_t processor = 0; processor < processors; processor++) {
        if (!is_in(mask, processor) || capacity(processor, root) < fastest - fastest / 3) continue;
        count += !shares_core_with_one_before(mask, processor, root);
    }
    return count > 0 ? count : 1;
}

uint64_t rp_usable_cores(void) {
#if defined(__linux__)
    // Of more than these no kernel knows.
    enum { MOST_WORDS = (1 << 20) / WORD_BITS };
    for (size_t words = 1024 / WORD_BITS; words <= MOST_WORDS; words *= 2) {
        uint64_t *mask = calloc(words, sizeof *mask);
        if (!mask) break;
        // Fails where the kernel's mask is larger.
        const int failed = sched_getaffinity(0, words * sizeof *mask, (cpu_set_t *)mask);
        const uint64_t cores = failed ? 0 : rp_cores(mask, words, "/sys/devices/system/cpu");
        free(mask);
        if (!failed) return cores;
    }
#endif
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint64_t)online : 1;
}
