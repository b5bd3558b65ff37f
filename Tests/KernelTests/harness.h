// The kernel tests: every slot of every module, for every instruction set of this machine and many shapes, against the scalar
// definition, bit for bit.
//
// A module's test_<module>() loops over its slots, shapes, patterns and test_isas[1...]; its bench_<module>() times the same slots.
// A kernel that two instruction sets share is a pointer that did not change: skip it.
#ifndef RK_HARNESS_H
#define RK_HARNESS_H

#include <stddef.h>
#include <stdint.h>
#include "ckernels.h"

void test_cpu(void);
void test_math(void);
void test_parallel(void);
void test_quantize(void);
void test_matmul(void);
void test_norm(void);
void test_rows(void);
void test_attention(void);
void test_conv(void);
void test_resize(void);

void bench_machine(void); // what the machine can do at most
void bench_quantize(void);
void bench_matmul(void);
void bench_norm(void);
void bench_attention(void);
void bench_conv(void);
void bench_resize(void);

// The instruction sets of this machine, each with those below it: [0] is scalar, ascending.
typedef struct test_isa {
    const char *name;
    uint32_t features;
} test_isa;

extern test_isa test_isas[8];
extern int test_isa_count;

// Threads of benchmarks: --threads, else one for each core that this process may use.
extern int test_threads;

// Reproducible: --seed gives the same numbers on every machine.
uint32_t test_random(void);
int test_random_below(int limit);    // 0 ..< limit
float test_random_float(void);       // in [-1, 1)

// What inputs are filled with. LOW and HIGH are the extremes of the type: -limit and limit for floats.
typedef enum test_pattern { TEST_ZERO, TEST_LOW, TEST_HIGH, TEST_ALTERNATING, TEST_RANDOM, TEST_PATTERNS } test_pattern;
extern const char *const test_pattern_names[TEST_PATTERNS];

void test_fill_floats(float *values, size_t count, test_pattern pattern, float limit);
void test_fill_f16(rk_f16 *values, size_t count, test_pattern pattern, float limit);
void test_fill_bytes(int8_t *values, size_t count, test_pattern pattern, int low, int high);
void test_fill_shorts(int16_t *values, size_t count, test_pattern pattern, int low, int high);

// A buffer of `bytes` bytes, aligned to `alignment` (a power of two up to 4096), filled with a pattern that no kernel writes, whose end lies
// less than `alignment` bytes before memory that may not be touched. Access past that ends the test program with the current
// test's name; a write elsewhere outside is found by test_guards. Built with the address sanitizer, reads outside are found too.
void *test_alloc(size_t bytes, size_t alignment);
void test_free(void *buffer);

// Names what is tested now, for every later failure: "matmul int4 avx512: 17 x 1000, 3 rows, random".
void test_begin(const char *module, const char *slot, const char *isa, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Each counts one passed or failed test, prints a failure and returns whether it passed.
int test_expect(int condition, const char *format, ...) __attribute__((format(printf, 2, 3)));
int test_guards(const void *buffer);
int test_equal_floats(const float *expected, const float *actual, size_t count); // the same bits; any NaN equals any NaN
int test_finite(const float *values, size_t count);
int test_equal_ints(const int32_t *expected, const int32_t *actual, size_t count);
int test_equal_bytes(const void *expected, const void *actual, size_t count);

// Called by every worker behind a step: fails unless that ended with a barrier, which leaves all chunks to the next step.
void test_step_ended(rk_worker *worker);

// Keeps the larger error, which is infinite if it is no number: fmax would drop it.
void test_worst(double *worst, double error);

// Seconds of one call: the shortest of several runs, each repeated until it can be measured.
double test_time(void (*call)(void *context), void *context);

// One line of a benchmark: amount is what one call moves or computes, in units of 10^9 ("GB" or "GOP"). scalar_seconds is the scalar time, 0 if
// there is none.
void test_report(const char *module, const char *slot, const char *isa, const char *shape, double amount, const char *unit,
                 double seconds, double scalar_seconds);

#endif
