// kernel-tests [--bench] [--filter MODULE] [--seed N] [--threads N] [--expect INSTRUCTION-SET]
// --expect fails unless that is the highest instruction set found: a run that tests less than the machine has must not pass.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "harness.h"
#include "harness_internal.h"
#include "rp_platform.h"

static const struct {
    const char *name;
    void (*test)(void);
    void (*bench)(void);
} modules[] = {
    {"machine", NULL, bench_machine},
    {"cpu", test_cpu, NULL},
    {"math", test_math, NULL},
    {"parallel", test_parallel, NULL},
    {"quantize", test_quantize, bench_quantize},
    {"matmul", test_matmul, bench_matmul},
    {"norm", test_norm, bench_norm},
    {"rows", test_rows, NULL},
    {"attention", test_attention, bench_attention},
    {"conv", test_conv, bench_conv},
    {"resize", test_resize, bench_resize},
};

static int usage(void) {
    fprintf(stderr, "usage: kernel-tests [--bench] [--filter MODULE] [--seed N] [--threads N] [--expect INSTRUCTION-SET]\n");
    return 64;
}

int main(int argc, char **argv) {
    int bench = 0;
    const char *filter = NULL, *expected = NULL;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bench") == 0) {
            bench = 1;
        } else if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc) {
            filter = argv[++i];
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
            test_threads = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--expect") == 0 && i + 1 < argc) {
            expected = argv[++i];
        } else {
            return usage();
        }
    }
    if (test_threads < 1) {
        test_threads = (int)rp_usable_cores();
    }

    test_start(seed);
    printf("instruction sets:");
    for (int i = 0; i < test_isa_count; i++) {
        printf(" %s", test_isas[i].name);
    }
    printf("; threads: %d; seed: %" PRIu64 "\n", test_threads, seed);
    const char *highest = test_isas[test_isa_count - 1].name;
    if (expected && strcmp(expected, highest) != 0) {
        fprintf(stderr, "FAILED: the highest instruction set is %s, expected %s\n", highest, expected);
        return 1;
    }

    int matched = 0;
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        if (filter && strcmp(filter, modules[i].name) != 0) {
            continue;
        }
        matched = 1;
        void (*run)(void) = bench ? modules[i].bench : modules[i].test;
        if (run) {
            int passed = test_passed, failed = test_failed;
            run();
            if (!bench) {
                printf("%-10s %d passed, %d failed\n", modules[i].name, test_passed - passed, test_failed - failed);
            }
        }
    }
    if (!matched) {
        fprintf(stderr, "no module is named %s\n", filter);
        return usage();
    }
    if (!bench) {
        printf("%d passed, %d failed\n", test_passed, test_failed);
    }
    return test_failed ? 1 : 0;
}
