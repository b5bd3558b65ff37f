#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "internal.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint32_t extended_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

uint32_t rk_cpu_traits(const char *vendor, uint32_t signature, uint32_t leaf7_b) {
    enum { ZEN3 = 0x19, ZEN5 = 0x1a };
    const uint32_t clflushopt = 1u << 23; // of Intel's from Skylake on
    const uint32_t base = signature >> 8 & 15, family = base == 15 ? base + (signature >> 20 & 255) : base;
    if (strcmp(vendor, "GenuineIntel") == 0) return RK_CPU_INTEL | RK_CPU_PREFETCH | (leaf7_b & clflushopt ? RK_CPU_MADD : 0);
    if (strcmp(vendor, "AuthenticAMD") != 0) return 0;
    return (family >= ZEN3 ? RK_CPU_MADD : 0) | (family >= ZEN5 ? RK_CPU_PREFETCH : 0);
}

static uint32_t detected_traits(uint32_t signature, uint32_t leaf7_b) {
    uint32_t a, name[4] = {0};
    return __get_cpuid(0, &a, &name[0], &name[2], &name[1]) ? rk_cpu_traits((const char *)name, signature, leaf7_b) : 0;
}

uint32_t rk_cpu_detected(void) {
    enum { YMM_STATE = 0x06, ZMM_STATE = 0xe6 }; // what the operating system must save
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29 };
    uint32_t a, b, c, d;
    const uint32_t leaf1 = FMA | OSXSAVE | AVX | F16C;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & leaf1) != leaf1) {
        return 0;
    }
    const uint32_t signature = a, state = extended_state();
    if ((state & YMM_STATE) != YMM_STATE || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & 1 << 5)) {
        return 0;
    }
    uint32_t features = RK_CPU_AVX2 | detected_traits(signature, b);
    const uint32_t avx512_b = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; // F, DQ, BW, VL
    const uint32_t vnni = 1u << 11;
    if ((state & ZMM_STATE) == ZMM_STATE && (b & avx512_b) == avx512_b && (c & vnni)) {
        features |= RK_CPU_AVX512;
    }
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 4)) {
        features |= RK_CPU_AVXVNNI;
    }
    return features;
}

#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

uint32_t rk_cpu_detected(void) {
    enum { ASIMDDP = 1 << 20, I8MM = 1 << 13 };
    uint32_t features = RK_CPU_NEON;
    if (getauxval(AT_HWCAP) & ASIMDDP) {
        features |= RK_CPU_DOTPROD;
        if (getauxval(AT_HWCAP2) & I8MM) {
            features |= RK_CPU_I8MM;
        }
    }
    return features;
}

#elif defined(__aarch64__)

uint32_t rk_cpu_detected(void) { return RK_CPU_NEON; }

#else

uint32_t rk_cpu_detected(void) { return 0; }

#endif

static const struct {
    const char *name;
    uint32_t feature;
} instruction_sets[] = {
    {"avx2", RK_CPU_AVX2}, {"avxvnni", RK_CPU_AVXVNNI}, {"avx512", RK_CPU_AVX512},
    {"neon", RK_CPU_NEON}, {"dotprod", RK_CPU_DOTPROD}, {"i8mm", RK_CPU_I8MM},
};
enum { INSTRUCTION_SETS = sizeof instruction_sets / sizeof instruction_sets[0] };

// detected AND mask, with the top bit once it is known.
static _Atomic uint32_t allowed;
static const uint32_t KNOWN = 1u << 31;

uint32_t rk_cpu_features(void) {
    uint32_t features = atomic_load_explicit(&allowed, memory_order_relaxed);
    if (!(features & KNOWN)) {
        const char *name = getenv("RUDOLPH_CPU");
        features = KNOWN | (rk_cpu_detected() & (name ? rk_cpu_mask_named(name) : UINT32_MAX));
        uint32_t unknown = 0;
        if (!atomic_compare_exchange_strong(&allowed, &unknown, features)) {
            features = unknown;
        }
    }
    return features & ~KNOWN;
}

void rk_cpu_set_mask(uint32_t mask) {
    atomic_store(&allowed, KNOWN | (rk_cpu_detected() & mask));
}

uint32_t rk_cpu_mask_named(const char *name) {
    if (strcmp(name, "scalar") == 0) {
        return 0;
    }
    for (int i = 0; i < INSTRUCTION_SETS; i++) {
        if (strcmp(name, instruction_sets[i].name) == 0) {
            // That one and all below it; the bits of the other architecture are never detected.
            return RK_CPU_TRAITS | (instruction_sets[i].feature * 2 - 1);
        }
    }
    return UINT32_MAX;
}

static const size_t UNKNOWN = SIZE_MAX;
static _Atomic size_t l2_bytes = SIZE_MAX;

size_t rk_cpu_l2_bytes(void) {
    size_t bytes = atomic_load_explicit(&l2_bytes, memory_order_relaxed);
    if (bytes == UNKNOWN) {
        size_t unknown = UNKNOWN;
        bytes = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
        const long said = sysconf(_SC_LEVEL2_CACHE_SIZE);
        if (said > 0) bytes = (size_t)said;
#endif
        if (!atomic_compare_exchange_strong(&l2_bytes, &unknown, bytes)) {
            bytes = unknown;
        }
    }
    return bytes;
}

void rk_cpu_set_l2_bytes(size_t bytes) { atomic_store(&l2_bytes, bytes); }

const char *rk_cpu_name(uint32_t features) {
    for (int i = INSTRUCTION_SETS - 1; i >= 0; i--) {
        if (features & instruction_sets[i].feature) {
            return instruction_sets[i].name;
        }
    }
    return "scalar";
}
