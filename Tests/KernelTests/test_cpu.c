#include <string.h>
#include "harness.h"

void test_cpu(void) {
    const uint32_t detected = rk_cpu_detected(), before = rk_cpu_features();

    test_begin("cpu", "names", "any", "of every instruction set");
    const char *const names[] = {"avx2", "avxvnni", "avx512", "neon", "dotprod", "i8mm"};
    uint32_t below = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const uint32_t mask = rk_cpu_mask_named(names[i]);
        test_expect((mask & below) == below && mask != below, "%s allows 0x%x, the one below 0x%x", names[i], mask, below);
        test_expect(strcmp(rk_cpu_name(mask), names[i]) == 0, "the highest of %s is %s", names[i], rk_cpu_name(mask));
        below = mask;
    }
    test_expect(rk_cpu_mask_named("scalar") == 0 && strcmp(rk_cpu_name(0), "scalar") == 0, "scalar is 0x%x", rk_cpu_mask_named("scalar"));
    test_expect(rk_cpu_mask_named("sse9") == UINT32_MAX, "an unknown name allows 0x%x", rk_cpu_mask_named("sse9"));

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
        const char *name = rk_matmul_kernels_for(test_isas[i].features).name;
        test_expect(strcmp(name, test_isas[i].name) == 0, "matmul kernels of %s are %s", test_isas[i].name, name);
    }
}
