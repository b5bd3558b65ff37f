// What this CPU can do, found once, AND a mask that a user or a test sets.
#ifndef RK_CPU_H
#define RK_CPU_H

#include <stddef.h>
#include <stdint.h>

// Instruction sets in ascending order for each architecture. RK_CPU_AVX2 stands for AVX2 + FMA + F16C; RK_CPU_AVX512 for
// AVX-512 F, BW, DQ, VL and VNNI (Cascade Lake, Zen 4 and later); RK_CPU_AVXVNNI for the 256-bit VNNI of CPUs without AVX-512.
enum {
    RK_CPU_AVX2 = 1 << 0,
    RK_CPU_AVXVNNI = 1 << 1,
    RK_CPU_AVX512 = 1 << 2,
    // No instruction sets, but how processors differ that have the same: those that multiply pairs of 16-bit integers as often as single floats, 256
    // bits twice in a cycle (Intel's from Skylake, AMD's from Zen 3 on), those that read memory faster with software prefetch (Intel's, and AMD's
    // from Zen 5 on), and Intel's, whose prefetch distance is shorter and which unpack weights once for many rows.
    RK_CPU_MADD = 1 << 5,
    RK_CPU_PREFETCH = 1 << 6,
    RK_CPU_INTEL = 1 << 7,
    RK_CPU_TRAITS = RK_CPU_MADD | RK_CPU_PREFETCH | RK_CPU_INTEL,
    RK_CPU_NEON = 1 << 8,
    RK_CPU_DOTPROD = 1 << 9,
    RK_CPU_I8MM = 1 << 10,
};

// What the hardware and the operating system offer, whatever the mask says.
uint32_t rk_cpu_detected(void);

// What the kernels may use: detected AND mask. The mask is RUDOLPH_CPU at the first call: the name of an instruction set
// ("scalar", "avx2", "avxvnni", "avx512", "neon", "dotprod", "i8mm") allows that one and all below it; anything else and an
// unset variable allow everything.
uint32_t rk_cpu_features(void);

// Replaces the mask. Call it before a model is opened: open models keep the kernels that they have.
void rk_cpu_set_mask(uint32_t mask);

// The mask that a name stands for: the bits of that instruction set and of all below it, and RK_CPU_TRAITS, which are none; 0 for "scalar"; all
// ones for an unknown name.
uint32_t rk_cpu_mask_named(const char *name);

// Bytes of a core's L2 cache, 0 where the system does not say. Results do not depend on it.
size_t rk_cpu_l2_bytes(void);

// Replaces what rk_cpu_l2_bytes says. Call it before scratch is sized: rk_conv_scratch and rk_conv_run must find the same number.
void rk_cpu_set_l2_bytes(size_t bytes);

// The name of the highest instruction set in `features`, a static string.
const char *rk_cpu_name(uint32_t features);

#endif
