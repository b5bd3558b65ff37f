// Convolutions over images in [height][width][channels] float, as matrix products over gathered patches.
#ifndef RK_CONV_H
#define RK_CONV_H

#include <stddef.h>
#include <stdint.h>
#include "rk_matmul.h"

// To the bit, an output is that of rk_matmul.h for RK_F32 and RK_F16 weights with the patch of its pixel as x, zeros included.
typedef struct rk_conv {
    rk_matrix weights;  // RK_F32 or RK_F16; rows = output channels, columns = kernel * kernel * in_channels in the order (ky, kx, channel)
    const float *bias;  // [rows rounded up to 16] or NULL
    int kernel;         // 1 or 3
    int stride;         // 1 or 2
    int padding;        // zeros before the first row and column; what lies past the last ones is zero as well
    int upsample;       // 1: the input is read as if each pixel were a 2 x 2 block (nearest neighbour), else 0
    int in_channels;
} rk_conv;

// Scratch floats that rk_conv_run needs for `workers` workers.
size_t rk_conv_scratch(const rk_conv *conv, int workers);

// Step: out[out_height][out_width][rows] = conv(x[height][width][in_channels]) (+ residual of the same shape, or NULL; it may be out).
// out_height and out_width are given by the caller. rows must be a multiple of 16 or out must have room as rk_matmul says: pixels
// are out_stride floats apart, at least rows rounded up to 16. residual uses out_stride too. out may not be x.
void rk_conv_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const float *x, int height, int width,
                 float *out, int out_height, int out_width, size_t out_stride, const float *residual, float *scratch);

#endif
