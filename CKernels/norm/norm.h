// The instruction sets of rk_norm.h, and what attention shares with it.
#ifndef NORM_H
#define NORM_H

#include "../internal.h"

// GELU divides by 1 + exp(-2u); -2u = x * fmaf(x * x, CUBIC, LINEAR).
#define RK_GELU_LINEAR (-1.5957691216057308f)
#define RK_GELU_CUBIC (-0.07135481627260025f)

extern const rk_norm_kernels rk_norm_scalar, rk_norm_avx2, rk_norm_avx512, rk_norm_neon;

// Reduces sixteen lanes to their sum in the order of rk_math.h. Overwrites them.
static inline float rk_reduce_lanes(float *lanes) {
    for (int s = RK_LANES / 2; s > 0; s /= 2)
        for (int j = 0; j < s; j++) lanes[j] += lanes[j + s];
    return lanes[0];
}

#endif
