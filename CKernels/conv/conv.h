// The instruction sets of rk_winograd_kernels, and the step by them.
#ifndef CONV_H
#define CONV_H

#include "../internal.h"

extern const rk_winograd_kernels rk_winograd_scalar, rk_winograd_avx2, rk_winograd_avx512, rk_winograd_neon;

#define RK_SIXTH (1.0f / 6)
#define RK_TWELFTH (1.0f / 12)
#define RK_TWENTY_FOURTH (1.0f / 24)

// As rk_conv_scratch and rk_conv_run, for convolutions that are fast.
size_t rk_winograd_scratch(uint32_t features, const rk_conv *conv, int workers);
void rk_winograd_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const float *x, int height, int width,
                     float *out, int out_height, int out_width, size_t out_stride, const float *residual, float *scratch);

// Copies pixels side by side as conv reads them: normalized where it says so.
void rk_conv_read(const rk_conv *conv, const rk_norm_kernels *norm, float *to, const float *from, int pixels);

#endif
