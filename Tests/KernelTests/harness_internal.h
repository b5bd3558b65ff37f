// Between main.c and harness.c.
#ifndef RK_HARNESS_INTERNAL_H
#define RK_HARNESS_INTERNAL_H

#include <stdint.h>

extern int test_passed, test_failed;

// Finds the instruction sets, seeds the random numbers and catches fatal signals.
void test_start(uint64_t seed);

#endif
