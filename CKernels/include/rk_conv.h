// Convolutions over images in [height][width][channels] float: as matrix products over gathered patches, or by Winograd's algorithm.
#ifndef RK_CONV_H
#define RK_CONV_H

#include <stddef.h>
#include <stdint.h>
#include "rk_matmul.h"

// How a convolution is summed.
typedef enum rk_conv_algorithm {
    RK_CONV_DIRECT,
    // By Winograd's transform where rk_conv_is_winograd says so: a quarter of the products, other roundings.
    RK_CONV_WINOGRAD,
    // Likewise, products of 16-bit integers where rk_conv_is_int16 says so. Of random numbers' outputs' root mean square they are 2^-9 to 2^-11 off
    // by Winograd's transform, 2^-12.5 to 2^-14.5 without.
    RK_CONV_INT16,
} rk_conv_algorithm;

// To the bit, if direct, an output is that of rk_matmul.h for RK_F32 and RK_F16 weights with the patch of its pixel as x, zeros included.
typedef struct rk_conv {
    rk_matrix weights;  // RK_F32 or RK_F16; rows = output channels, columns = kernel * kernel * in_channels in the order (ky, kx, channel)
    const float *bias;  // [rows rounded up to 16] or NULL
    int kernel;         // 1 or 3
    int stride;         // 1 or 2
    int padding;        // zeros before the first row and column; what lies past the last ones is zero as well
    int upsample;       // 1: the input is read as if each pixel were a 2 x 2 block (nearest neighbour), else 0
    int in_channels;
    const float *scale, *shift; // [in_channels], of rk_group_norm_scales: the input is read through scale_shift with swish; or NULL
    rk_conv_algorithm algorithm; // where it does not apply, an output is as if direct
} rk_conv;

// Winograd's F(4x4, 3x3): 4 x 4 pixels of output from 6 x 6 of input, one product for each of the 36 positions i, j of the transformed
// tile instead of 9 for each pixel. With one-dimensional transforms applied along y first, then along x:
//   B(d)  0: fmaf(4, d0, fmaf(-5, d2, d4))   1, 2: a + b, a - b with a = fmaf(-4, d2, d4), b = fmaf(-4, d1, d3)
//         5: fmaf(4, d1, fmaf(-5, d3, d5))   3, 4: c + e, c - e with c = d4 - d2, e = 2 (d3 - d1)
//   G(g)  0: g0 / 4   1, 2: -s - t, t - s with s = (g0 + g2) / 6, t = g1 / 6   3, 4: u + v, u - v with u = fmaf(4, g2, g0) / 24, v = g1 / 12
//         5: g2           (each division is a product with the rounded reciprocal)
//   A(m)  0: (m0 + p) + r   1: fmaf(2, s, q)   2: fmaf(4, r, p)   3: fmaf(8, s, q) + m5
//         with p = m1 + m2, q = m1 - m2, r = m3 + m4, s = m3 - m4
// An upsampled image needs 25 of the products, the others are 0. Channels of the input come in sixteens.
//
// With RK_CONV_INT16 x and weights become integers whose products cannot overflow a sum of 32 bits, by the inequality of Cauchy and Schwarz: for some
// columns at a time those of x are scaled to the norm RK_INT16_X_NORM, those of a row of weights to at most RK_INT16_WEIGHT_NORM, and the two norms'
// product is less than 2^31, roundings included. Of a position of transformed tiles it is RK_INT16_SLICE channels at a time, of a patch twice as many
// columns.
//   x: n = sqrt of its sum of squares, as rk_math.h adds up; integers rint(x * (X_NORM / n)), factor n * (1 / X_NORM)
//   weights: n = sqrt(max(sum of e, 4 * largest e)), e the square of a weight, of transformed ones that of their 9, by fmaf from 0;
//         integers rint(g * (WEIGHT_NORM / n)), factor n * (1 / WEIGHT_NORM); the transform is that of the scaled 9 with G's rows divided by
//         their norms k, by which the factor of i, j is multiplied: 1 / WEIGHT_NORM * (k[i] * k[j])
// Below RK_INT16_LEAST a sum of squares gives zeros. 4 keeps each integer within 16 bits.
enum { RK_WINOGRAD_OUT = 4, RK_WINOGRAD_IN = 6, RK_WINOGRAD_POSITIONS = 36 };
enum { RK_INT16_SLICE = 128, RK_INT16_X_NORM = 32736, RK_INT16_WEIGHT_NORM = 65408 };
#define RK_INT16_LEAST 0x1p-80f

// Distances (`stride`) count floats, whatever lies there.
typedef struct rk_conv_kernels {
    const char *name;
    int block;  // tiles whose lines of 16 channels lie side by side: those of a register tile, whose products thus read one stream
    int panels; // of weights in a register tile: the most that multiply takes
    int slice;  // channels that are transformed to integers together and multiplied at once, at most; 0: floats, any number
    // G of the channels first ..< first + count of one panel of weights, type RK_F32 or RK_F16, 9 * channels columns: position i * 6 + j
    // goes to u + (i * 6 + j) * stride. Floats: an RK_F32 panel of `count` columns. Integers: for each row what its products are to be multiplied
    // with, float[16], then int16_t[count / 2][16][2], two channels of each row.
    void (*weights)(float *u, size_t stride, const void *panel, rk_type type, int channels, int first, int count);
    // B of tile t of a block, `channels` channels from each pixels[y * 6 + x]: position i * 6 + j goes to the block at v + (i * 6 + j) * stride,
    // channel c of it to [c / 16][t][c % 16] of float[channels / 16][block][16], or to [c / 32][t][c % 32] of int16_t[channels / 32][block][32],
    // behind which lies for each tile what its products are to be multiplied with, float[block].
    // `upsampled`: pixels 1 and 2 of each row and column are the same, and 3 and 4. Positions with i = 2 or j = 2 are then 0; they are not written.
    void (*input)(float *v, size_t stride, int t, const float *const pixels[RK_WINOGRAD_POSITIONS], int channels, int upsampled);
    // One position of `panels` panels, which follow each other: for panel p of n, i = (t * n + p) * 16 + r,
    // m[i] = fmaf(u[(p * channels + c) * 16 + r], channel c of tile t, m[i]) for c ascending, from 0 unless `more`; integers:
    // m[i] = fmaf(sum of products, factor of the row * factor of the tile, m[i]); sums are modulo 2^32, as infinite numbers have no
    // norm. Blocks of tiles are `stride` apart.
    void (*multiply)(float *m, const float *v, size_t stride, const float *u, int panels, int channels, int tiles, int more);
    // A of one tile of one panel, position i * 6 + j at m[(i * 6 + j) * stride ...]; then + bias[16] (0 when NULL), then + added[y * 4 + x][16]
    // unless `added` is NULL. out[y * 4 + x] takes 16 floats; NULL for pixels outside the image. added may be out.
    void (*output)(float *const out[16], const float *const added[16], const float *m, size_t stride, const float *bias);
    // Of patches, integers only, else NULL: columns first ..< first + count of one panel of weights, untransformed, as `weights` puts them; and
    // `columns` columns of a patch, as `input` puts a tile.
    void (*columns)(float *u, const void *panel, rk_type type, int first, int count);
    void (*patch)(float *v, int t, const float *x, int columns);
    // out[p * stride + i] = m[p * panels * 16 + i] + bias[i] (0 when NULL), + added[p * stride + i] unless `added` is NULL, for p < count.
    void (*pixels)(float *out, size_t stride, const float *added, const float *m, int panels, int count, const float *bias);
} rk_conv_kernels;

// algorithm: not RK_CONV_DIRECT. Integers without AVX2 are the scalar definition's.
rk_conv_kernels rk_conv_kernels_for(uint32_t features, rk_conv_algorithm algorithm);

// Whether it goes by Winograd's transform: 3 x 3, stride 1, padding 1, channels in sixteens.
int rk_conv_is_winograd(const rk_conv *conv);

// Whether its products are those of integers: channels in thirty-twos.
int rk_conv_is_int16(const rk_conv *conv);

// The fastest algorithm on a processor with these features.
rk_conv_algorithm rk_conv_fastest(uint32_t features);

// Scratch floats that rk_conv_run needs with these features for `workers` workers, with scales or without.
size_t rk_conv_scratch(uint32_t features, const rk_conv *conv, int workers);

// What a convolution reads and writes. The output's size is the caller's choice.
typedef struct rk_conv_images {
    const float *x;        // [height][width][in_channels]
    int height, width;
    float *out;            // [out_height][out_width][rows], not x
    int out_height, out_width;
    size_t out_stride;     // floats from pixel to pixel of out: at least rows rounded up to 16, as whole panels are written
    const float *residual; // added to the output, laid out as out, which it may be; or NULL
} rk_conv_images;

// Step: out = conv(x) + residual.
void rk_conv_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const rk_conv_images *images, float *scratch);

#endif
