#include "quantize.h"

rk_quantize_kernels rk_quantize_kernels_for(uint32_t features) {
    rk_quantize_kernels kernels = rk_quantize_scalar;
#if defined(__x86_64__)
    if (features & RK_CPU_AVX2) kernels = rk_quantize_avx2;
    if (features & RK_CPU_AVX512) kernels = rk_quantize_avx512;
#elif defined(__aarch64__)
    if (features & RK_CPU_NEON) kernels = rk_quantize_neon;
#else
    (void)features;
#endif
    return kernels;
}
