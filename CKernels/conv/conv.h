// The instruction sets of rk_conv_kernels, and the step by them.
#ifndef CONV_H
#define CONV_H

#include "../internal.h"

extern const rk_conv_kernels rk_conv_scalar, rk_conv_avx2, rk_conv_avx512, rk_conv_neon;
extern const rk_conv_kernels rk_conv_scalar_int16, rk_conv_avx2_int16, rk_conv_avxvnni_int16, rk_conv_avx512_int16;

// Roundings add half the root of the columns to a norm: at most 8, for the 256 of a patch.
_Static_assert((RK_INT16_X_NORM + 8LL) * (RK_INT16_WEIGHT_NORM + 8LL) < 1LL << 31, "the sums of a slice are within 32 bits");

// The norms of the rows of G.
static const float rk_winograd_norms[6] = {0.25f, 0.288675135f, 0.288675135f, 0.190940654f, 0.190940654f, 1};

#define RK_SIXTH (1.0f / 6)
#define RK_TWELFTH (1.0f / 12)
#define RK_TWENTY_FOURTH (1.0f / 24)
#define RK_ROOT_THIRD 0.577350259f       // sqrt(1 / 3)
#define RK_ROOT_TWENTY_FIRST 0.218217894f // sqrt(1 / 21)

// Without Winograd's transform: the most pixels whose patches a worker takes at a time, and how many panels of weights it multiplies them with.
enum { RK_CONV_PIXELS = 192, RK_CONV_GROUP = 16 };

// As rk_conv_scratch and rk_conv_run, for convolutions by Winograd's transform.
size_t rk_winograd_scratch(uint32_t features, const rk_conv *conv, int workers);
void rk_winograd_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const rk_conv_images *images, float *scratch);

// The same for convolutions whose products are those of 16-bit integers, but not by Winograd's transform.
size_t rk_conv_int16_scratch(uint32_t features, const rk_conv *conv, int workers);
void rk_conv_int16_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const rk_conv_images *images, float *scratch);

// Floats that 16-bit integers and their factors take: `columns` of a block of tiles or patches, and of a panel of weights.
RK_INLINE size_t rk_int16_block(const rk_conv_kernels *kernels, int columns) {
    return ((size_t)(columns * kernels->block / 2 + kernels->block) + 15) / 16 * 16;
}
RK_INLINE size_t rk_int16_panel(int columns) { return RK_PANEL + (size_t)columns / 2 * RK_PANEL; }

// Pixels to a tile: equal tiles of a multiple of `step`, not more than `most`, at least two chunks for every worker, `groups` to a tile.
int rk_conv_tile(int pixels, int groups, int workers, int most, int step);

// The patch of an output pixel, counted row after row: where it lies in x, or gathered into `patch`.
const float *rk_conv_patch(const rk_conv *conv, const rk_norm_kernels *norm, float *patch, const rk_conv_images *images, int pixel);

// Copies pixels side by side as conv reads them: normalized where it says so.
void rk_conv_read(const rk_conv *conv, const rk_norm_kernels *norm, float *to, const float *from, int pixels);

#endif
