#include <stdio.h>
#include <string.h>
#include "harness.h"
#include "internal.h"

static const struct {
    uint32_t feature;
    const char *flags[10]; // what it consists of, in the words of /proc/cpuinfo
} cpuinfo[] = {
    {RK_CPU_AVX2, {"avx2", "fma", "f16c"}},
    {RK_CPU_AVXVNNI, {"avx2", "fma", "f16c", "avx_vnni"}},
    {RK_CPU_AVX512, {"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}},
    {RK_CPU_NEON, {"asimd"}},
    {RK_CPU_DOTPROD, {"asimddp"}},
    {RK_CPU_I8MM, {"asimddp", "i8mm"}},
};

// The line of the first processor's flags with a space behind each; empty where there is none. Emulators of ARM may show the host's file, which
// has no line of this name.
static void read_flags(char *line, int bytes) {
#if defined(__aarch64__)
    const char *name = "Features";
#else
    const char *name = "flags";
#endif
    FILE *file = fopen("/proc/cpuinfo", "r");
    int found = 0;
    while (file && !found && fgets(line, bytes, file)) {
        found = strncmp(line, name, strlen(name)) == 0;
    }
    if (file) fclose(file);
    if (!found) line[0] = 0;
    if (strchr(line, '\n')) *strchr(line, '\n') = ' ';
}

static int has_flag(const char *line, const char *flag) {
    char word[32];
    snprintf(word, sizeof word, " %s ", flag);
    return strstr(line, word) != NULL;
}

void test_cpu(void) {
    const uint32_t detected = rk_cpu_detected(), before = rk_cpu_features();

    test_begin("cpu", "names", "any", "of every instruction set");
    const char *const names[] = {"avx2", "avxvnni", "avx512", "neon", "dotprod", "i8mm"};
    uint32_t below = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const uint32_t mask = rk_cpu_mask_named(names[i]);
        test_expect((mask & below) == below && mask != below, "%s allows 0x%x, the one below 0x%x", names[i], mask, below);
        test_expect((mask & RK_CPU_TRAITS) == RK_CPU_TRAITS, "%s hides what kind of processor it is", names[i]);
        test_expect(strcmp(rk_cpu_name(mask), names[i]) == 0, "the highest of %s is %s", names[i], rk_cpu_name(mask));
        below = mask;
    }
    test_expect(rk_cpu_mask_named("scalar") == 0 && strcmp(rk_cpu_name(0), "scalar") == 0, "scalar is 0x%x", rk_cpu_mask_named("scalar"));
    test_expect(rk_cpu_mask_named("sse9") == UINT32_MAX, "an unknown name allows 0x%x", rk_cpu_mask_named("sse9"));

    test_begin("cpu", "detected", "any", "against /proc/cpuinfo");
    char line[8192];
    read_flags(line, sizeof line);
    for (size_t i = 0; i < sizeof cpuinfo / sizeof cpuinfo[0]; i++) {
        int all = 1;
        for (int j = 0; cpuinfo[i].flags[j]; j++) {
            all &= has_flag(line, cpuinfo[i].flags[j]);
        }
        const uint32_t feature = cpuinfo[i].feature;
        test_expect(!all || detected & feature, "%s is not detected", rk_cpu_name(feature));
#if defined(__x86_64__)
        test_expect(all || !line[0] || !(detected & feature), "%s is detected", rk_cpu_name(feature));
#endif
    }

    test_begin("cpu", "mask", "any", "detected 0x%x", detected);
    test_expect((before & ~detected) == 0, "features 0x%x", before);
    rk_cpu_set_mask(0);
    test_expect(rk_cpu_features() == 0, "features 0x%x with mask 0", rk_cpu_features());
    rk_cpu_set_mask(UINT32_MAX);
    test_expect(rk_cpu_features() == detected, "features 0x%x with everything allowed", rk_cpu_features());
    rk_cpu_set_mask(before);
    test_expect(rk_cpu_features() == before, "features 0x%x after restoring 0x%x", rk_cpu_features(), before);

    test_begin("cpu", "dispatch", "any", "which kernels an instruction set gets");
    for (int i = 0; i < test_isa_count; i++) {
        // A processor's own kernels are named "avx512 of ...".
        const char *name = rk_matmul_kernels_for(test_isas[i].features & ~(uint32_t)RK_CPU_TRAITS).name;
        test_expect(strcmp(name, test_isas[i].name) == 0, "matmul kernels of %s are %s", test_isas[i].name, name);
        const rk_matmul_kernels kernels = rk_matmul_kernels_for(test_isas[i].features), scalar = rk_matmul_kernels_for(0);
        int is_scalar = kernels.int16 == scalar.int16;
        for (int type = RK_F32; type <= RK_INT4; type++) is_scalar |= kernels.tile[type] == scalar.tile[type];
        test_expect(is_scalar == (i == 0), "%s has a product without kernels of its own", test_isas[i].name);
    }
#if defined(__x86_64__)
    test_begin("cpu", "traits", "any", "of processors by their CPUID");
    enum { SKYLAKE = 1 << 23 };
    const struct {
        const char *vendor, *name;
        uint32_t signature, leaf7_b, traits;
    } processors[] = {
        {"GenuineIntel", "Haswell", 0x306c3, 0, RK_CPU_INTEL | RK_CPU_PREFETCH},
        {"GenuineIntel", "Emerald Rapids", 0xc06f2, SKYLAKE, RK_CPU_INTEL | RK_CPU_PREFETCH | RK_CPU_MADD},
        {"AuthenticAMD", "Zen 1", 0x800f12, SKYLAKE, 0},
        {"AuthenticAMD", "Zen 2", 0x830f10, SKYLAKE, 0},
        {"AuthenticAMD", "Zen 3", 0xa00f11, SKYLAKE, RK_CPU_MADD},
        {"AuthenticAMD", "Zen 4", 0xa10f11, SKYLAKE, RK_CPU_MADD},
        {"AuthenticAMD", "Zen 5", 0xb00f21, SKYLAKE, RK_CPU_MADD | RK_CPU_PREFETCH},
        {"HygonGenuine", "Dhyana", 0x900f02, SKYLAKE, 0},
    };
    for (size_t i = 0; i < sizeof processors / sizeof processors[0]; i++) {
        const uint32_t traits = rk_cpu_traits(processors[i].vendor, processors[i].signature, processors[i].leaf7_b);
        test_expect(traits == processors[i].traits, "%s has 0x%x, not 0x%x", processors[i].name, traits, processors[i].traits);
    }
#endif

    test_begin("cpu", "convolutions", "any", "which an instruction set runs fastest");
    const struct {
        uint32_t features;
        rk_conv_algorithm fastest;
    } ways[] = {{0, RK_CONV_WINOGRAD}, {RK_CPU_NEON | RK_CPU_DOTPROD, RK_CONV_WINOGRAD}, {RK_CPU_AVX2, RK_CONV_WINOGRAD},
                {RK_CPU_AVX2 | RK_CPU_MADD, RK_CONV_INT16}, {RK_CPU_AVX2 | RK_CPU_AVXVNNI, RK_CONV_INT16}, {RK_CPU_AVX2 | RK_CPU_AVX512, RK_CONV_INT16}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        test_expect(rk_conv_fastest(ways[i].features) == ways[i].fastest, "fastest convolutions of 0x%x: %d", ways[i].features,
                    rk_conv_fastest(ways[i].features));
}
