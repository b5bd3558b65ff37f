#define _GNU_SOURCE
#include "harness.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include "harness_internal.h"

test_isa test_isas[8];
int test_isa_count, test_threads;
int test_passed, test_failed;

const char *const test_pattern_names[TEST_PATTERNS] = {"zero", "low", "high", "alternating", "random"};

static char current[256] = "start";
static uint64_t random_state;

static void report_end(const char *how) {
    (void)!write(STDOUT_FILENO, how, strlen(how));
    (void)!write(STDOUT_FILENO, current, strlen(current));
    (void)!write(STDOUT_FILENO, "\n", 1);
}

static void report_signal(int signal_number) {
    report_end("FAILED, killed by a signal in: ");
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

#if __has_feature(address_sanitizer)
static void report_sanitizer(void) { report_end("FAILED, ended by a sanitizer in: "); }

// libomp keeps what belongs to a thread that opened regions and ended.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libomp\n"; }
const char *__lsan_default_options(void);
const char *__lsan_default_options(void) { return "print_suppressions=0"; }
#endif

void test_start(uint64_t seed) {
    random_state = seed * 2 + 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGALRM};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        signal(signals[i], report_signal);
    }
#if __has_feature(address_sanitizer)
    __sanitizer_set_death_callback(report_sanitizer);
#endif
    test_isas[test_isa_count++] = (test_isa){"scalar", 0};
    uint32_t available = rk_cpu_features();
    for (int bit = 0; bit < 31; bit++) {
        uint32_t feature = UINT32_C(1) << bit;
        if (available & feature & ~(uint32_t)RK_CPU_TRAITS) {
            test_isas[test_isa_count++] = (test_isa){rk_cpu_name(feature), available & (RK_CPU_TRAITS | (feature * 2 - 1))};
        }
    }
}

uint32_t test_random(void) { // PCG-XSH-RR
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    uint32_t shifted = (uint32_t)((random_state >> 18 ^ random_state) >> 27);
    uint32_t rotation = (uint32_t)(random_state >> 59);
    return shifted >> rotation | shifted << (-rotation & 31);
}

int test_random_below(int limit) { return (int)((uint64_t)test_random() * (uint32_t)limit >> 32); }

float test_random_float(void) { return (float)(int32_t)test_random() * 0x1p-31f; }

void test_fill_floats(float *values, size_t count, test_pattern pattern, float limit) {
    for (size_t i = 0; i < count; i++) {
        switch (pattern) {
        case TEST_ZERO: values[i] = 0; break;
        case TEST_LOW: values[i] = -limit; break;
        case TEST_HIGH: values[i] = limit; break;
        case TEST_ALTERNATING: values[i] = i % 2 ? -limit : limit; break;
        default: values[i] = test_random_float() * limit; break;
        }
    }
}

void test_fill_f16(rk_f16 *values, size_t count, test_pattern pattern, float limit) {
    for (size_t i = 0; i < count; i++) {
        float value;
        test_fill_floats(&value, 1, pattern == TEST_ALTERNATING ? (i % 2 ? TEST_LOW : TEST_HIGH) : pattern, limit);
        values[i] = rk_f16_from_f32(value);
    }
}

static int patterned(test_pattern pattern, size_t i, int low, int high) {
    switch (pattern) {
    case TEST_ZERO: return 0;
    case TEST_LOW: return low;
    case TEST_HIGH: return high;
    case TEST_ALTERNATING: return i % 2 ? low : high;
    default: return low + test_random_below(high - low + 1);
    }
}

void test_fill_bytes(int8_t *values, size_t count, test_pattern pattern, int low, int high) {
    for (size_t i = 0; i < count; i++) values[i] = (int8_t)patterned(pattern, i, low, high);
}

void test_fill_shorts(int16_t *values, size_t count, test_pattern pattern, int low, int high) {
    for (size_t i = 0; i < count; i++) values[i] = (int16_t)patterned(pattern, i, low, high);
}

// A mapping is: front slack, buffer, back slack, a page that may not be touched. With the address sanitizer the slack may not either.
enum { CANARY = 0xc5, MAX_ALIGNMENT = 4096 };

typedef struct allocation {
    uint8_t *map;
    size_t map_bytes; // with the forbidden page
    uint8_t *buffer;
    size_t bytes;
    uint8_t *end; // of what may be touched
    struct allocation *next;
} allocation;

static allocation *allocations;

static allocation *find(const void *buffer) {
    allocation *a = allocations;
    while (a && a->buffer != buffer) {
        a = a->next;
    }
    return a;
}

static void forbid_slack(const allocation *a) {
    ASAN_POISON_MEMORY_REGION(a->map, (size_t)(a->buffer - a->map));
    ASAN_POISON_MEMORY_REGION(a->buffer + a->bytes, (size_t)(a->end - a->buffer) - a->bytes);
}

static void allow_slack(const allocation *a) { ASAN_UNPOISON_MEMORY_REGION(a->map, (size_t)(a->end - a->map)); }

static void give_up(const char *what) {
    fprintf(stderr, "%s: %s\n", current, what);
    exit(2);
}

void *test_alloc(size_t bytes, size_t alignment) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t body = (bytes + MAX_ALIGNMENT + 64 + page - 1) / page * page;
    allocation *a = malloc(sizeof *a);
    uint8_t *map = mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!a || map == MAP_FAILED || mprotect(map + body, page, PROT_NONE) != 0) {
        give_up("out of memory");
    }
    memset(map, CANARY, body);
    uint8_t *end = map + body;
    uint8_t *buffer = end - (bytes + alignment - 1) / alignment * alignment;
    *a = (allocation){map, body + page, buffer, bytes, end, allocations};
    allocations = a;
    forbid_slack(a);
    return buffer;
}

void test_free(void *buffer) {
    for (allocation **link = &allocations; *link; link = &(*link)->next) {
        if ((*link)->buffer == buffer) {
            allocation *a = *link;
            *link = a->next;
            allow_slack(a);
            munmap(a->map, a->map_bytes);
            free(a);
            return;
        }
    }
    give_up("test_free of an unknown buffer");
}

void test_begin(const char *module, const char *slot, const char *isa, const char *format, ...) {
    int length = snprintf(current, sizeof current, "%s %s %s: ", module, slot, isa);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(current + length, sizeof current - (size_t)length, format, arguments);
    va_end(arguments);
}

int test_expect(int condition, const char *format, ...) {
    if (condition) {
        test_passed++;
        return 1;
    }
    if (test_failed++ < 50) {
        char message[256];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(message, sizeof message, format, arguments);
        va_end(arguments);
        printf("FAILED %s: %s\n", current, message);
    }
    return 0;
}

int test_guards(const void *buffer) {
    const allocation *a = find(buffer);
    if (!a) {
        give_up("test_guards of an unknown buffer");
    }
    allow_slack(a);
    const uint8_t *bad = NULL;
    for (const uint8_t *p = a->map; p < a->buffer && !bad; p++) {
        bad = *p != CANARY ? p : NULL;
    }
    for (const uint8_t *p = a->buffer + a->bytes; p < a->end && !bad; p++) {
        bad = *p != CANARY ? p : NULL;
    }
    forbid_slack(a);
    return test_expect(!bad, "wrote at byte %td of a buffer of %zu bytes", bad ? bad - a->buffer : 0, a->bytes);
}

int test_equal_floats(const float *expected, const float *actual, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&expected[i], &actual[i], sizeof(float)) != 0 && !(isnan(expected[i]) && isnan(actual[i]))) {
            return test_expect(0, "element %zu of %zu is %.9g (%a), expected %.9g (%a)", i, count, actual[i], actual[i],
                               expected[i], expected[i]);
        }
    }
    return test_expect(1, "equal");
}

int test_finite(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            return test_expect(0, "element %zu of %zu is %g", i, count, values[i]);
        }
    }
    return test_expect(1, "finite");
}

int test_equal_ints(const int32_t *expected, const int32_t *actual, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (expected[i] != actual[i]) {
            return test_expect(0, "element %zu of %zu is %d, expected %d", i, count, (int)actual[i], (int)expected[i]);
        }
    }
    return test_expect(1, "equal");
}

int test_equal_bytes(const void *expected, const void *actual, size_t count) {
    const uint8_t *e = expected, *a = actual;
    for (size_t i = 0; i < count; i++) {
        if (e[i] != a[i]) {
            return test_expect(0, "byte %zu of %zu is 0x%02x, expected 0x%02x", i, count, a[i], e[i]);
        }
    }
    return test_expect(1, "equal");
}

void test_step_ended(rk_worker *worker) {
    static _Atomic int without;
    if (rk_next_chunk(worker, worker->count) < 0) atomic_fetch_add(&without, 1);
    rk_barrier(worker);
    if (worker->index == 0) test_expect(atomic_exchange(&without, 0) == 0, "no barrier at the end of the step");
}

void test_worst(double *worst, double error) { *worst = isnan(error) ? INFINITY : fmax(*worst, error); }

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

double test_time(void (*call)(void *context), void *context) {
    // Short runs, many of them: on a shared machine some fall between the interruptions.
    const double shortest = 1e-4, budget = 0.15;
    double best = INFINITY, spent = 0;
    int repeats = 1;
    for (int runs = 0; spent < budget || runs < 3;) {
        double start = now();
        for (int i = 0; i < repeats; i++) {
            call(context);
        }
        double seconds = now() - start;
        spent += seconds;
        if (seconds < shortest && repeats < 1 << 20) {
            repeats *= 2;
            continue;
        }
        best = fmin(best, seconds / repeats);
        runs++;
    }
    return best;
}

void test_report(const char *module, const char *slot, const char *isa, const char *shape, double amount, const char *unit,
                 double seconds, double scalar_seconds) {
    printf("%-9s %-14s %-8s %-26s %10.2f us %9.2f %s/s", module, slot, isa, shape, seconds * 1e6, amount / seconds, unit);
    if (scalar_seconds > 0) {
        printf(" %7.1fx", scalar_seconds / seconds);
    }
    printf("\n");
}
