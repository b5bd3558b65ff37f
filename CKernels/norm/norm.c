#include "norm.h"

rk_norm_kernels rk_norm_kernels_for(uint32_t features) {
    rk_norm_kernels kernels = rk_norm_scalar;
#if defined(__x86_64__)
    if (features & RK_CPU_AVX2) kernels = rk_norm_avx2;
    if (features & RK_CPU_AVX512) kernels = rk_norm_avx512;
#elif defined(__aarch64__)
    if (features & RK_CPU_NEON) kernels = rk_norm_neon;
#endif
    (void)features;
    return kernels;
}

// Pixels of one block of statistics. The result depends on it: it is part of the definition.
enum { BLOCK = 64 };

static int block_count(int pixels) { return rk_divide_up(pixels, BLOCK); }

// scratch: sums[blocks][channels], squares[blocks][channels], scale[channels], shift[channels]; the last two for rk_group_norm
size_t rk_group_norm_scratch(int pixels, int channels) {
    return 2 * ((size_t)block_count(pixels) + 1) * (size_t)channels;
}

static double channel_sum(const float *sums, int blocks, int channels) {
    double sum = 0;
    for (int b = 0; b < blocks; b++) sum += (double)sums[(size_t)b * (size_t)channels];
    return sum;
}

// The scale and shift of one group's channels from the sums of all blocks. A channel's sums are of x - pivot; with
// s = mean - pivot the squares about the mean are squares - 2 s sum + n s^2.
static void join_group(float *scale, float *shift, const float *sums, const float *squares, const float *pivot,
                       const float *weight, const float *bias, int pixels, int channels, int first, int count, float epsilon) {
    const int blocks = block_count(pixels);
    double mean = 0, variance = 0;
    for (int c = first; c < first + count; c++) mean += channel_sum(sums + c, blocks, channels) + (double)pivot[c] * pixels;
    mean /= (double)pixels * count;
    for (int c = first; c < first + count; c++) {
        double s = mean - (double)pivot[c];
        variance += channel_sum(squares + c, blocks, channels) - 2 * s * channel_sum(sums + c, blocks, channels) + s * s * pixels;
    }
    // Where the pivot is far from all others, rounding may leave less than nothing.
    variance = fmax(variance, 0) / ((double)pixels * count);
    double rstd = 1 / sqrt(variance + (double)epsilon);
    for (int c = first; c < first + count; c++) {
        scale[c] = (float)((double)weight[c] * rstd);
        shift[c] = (float)((double)bias[c] - mean * ((double)weight[c] * rstd));
    }
}

void rk_group_norm_scales(rk_worker *worker, uint32_t features, float *scale, float *shift, const float *x, const float *weight,
                          const float *bias, int pixels, int channels, int groups, float epsilon, float *scratch) {
    const rk_norm_kernels kernels = rk_norm_kernels_for(features);
    const int blocks = block_count(pixels), group = channels / groups;
    const size_t row = (size_t)channels;
    float *sums = scratch, *squares = sums + (size_t)blocks * row;

    for (int b; (b = rk_next_chunk(worker, blocks)) >= 0;) {
        float *sum = sums + (size_t)b * row, *square = squares + (size_t)b * row;
        memset(sum, 0, row * sizeof *sum);
        memset(square, 0, row * sizeof *square);
        kernels.channel_sums(sum, square, x + (size_t)b * BLOCK * row, x, rk_min(BLOCK, pixels - b * BLOCK), channels, row);
    }
    rk_barrier(worker);

    for (int g; (g = rk_next_chunk(worker, groups)) >= 0;)
        join_group(scale, shift, sums, squares, x, weight, bias, pixels, channels, g * group, group, epsilon);
    rk_barrier(worker);
}

void rk_group_norm(rk_worker *worker, uint32_t features, float *y, const float *x, const float *weight, const float *bias,
                   int pixels, int channels, int groups, float epsilon, int swish, float *scratch) {
    const rk_norm_kernels kernels = rk_norm_kernels_for(features);
    float *scale = scratch + 2 * (size_t)block_count(pixels) * (size_t)channels, *shift = scale + channels;
    rk_group_norm_scales(worker, features, scale, shift, x, weight, bias, pixels, channels, groups, epsilon, scratch);
    for (int b; (b = rk_next_chunk(worker, block_count(pixels))) >= 0;) {
        const size_t offset = (size_t)b * BLOCK * (size_t)channels;
        kernels.scale_shift(y + offset, x + offset, scale, shift, rk_min(BLOCK, pixels - b * BLOCK), channels, swish);
    }
    rk_barrier(worker);
}
