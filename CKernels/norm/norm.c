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

// scratch: sums[blocks][channels], squares[blocks][channels], scale[channels], shift[channels]; the last two for rk_group_norm_run
size_t rk_group_norm_scratch(int pixels, int channels) {
    return 2 * ((size_t)block_count(pixels) + 1) * (size_t)channels;
}

// Of an image, in blocks of pixels: sums and sums of squares of each channel's distances from the pivot.
typedef struct statistics {
    const float *sums, *squares; // [blocks][channels]
    const float *pivot;          // [channels]
    int pixels, channels;
} statistics;

static double channel_sum(const statistics *of, const float *sums, int channel) {
    double sum = 0;
    for (int b = 0; b < block_count(of->pixels); b++) sum += (double)sums[(size_t)b * (size_t)of->channels + (size_t)channel];
    return sum;
}

// The scale and shift of one group's channels from the sums of all blocks. With s = mean - pivot the squares about the mean are
// squares - 2 s sum + n s^2.
static void join_group(const rk_group_norm *norm, float *scale, float *shift, const statistics *of, int group) {
    const int count = norm->channels / norm->groups, first = group * count, end = first + count;
    const double numbers = (double)of->pixels * count;
    double mean = 0, variance = 0;
    for (int c = first; c < end; c++) mean += channel_sum(of, of->sums, c) + (double)of->pivot[c] * of->pixels;
    mean /= numbers;
    for (int c = first; c < end; c++) {
        const double s = mean - (double)of->pivot[c];
        variance += channel_sum(of, of->squares, c) - 2 * s * channel_sum(of, of->sums, c) + s * s * of->pixels;
    }
    // Where the pivot is far from all others, rounding may leave less than nothing.
    variance = fmax(variance, 0) / numbers;
    const double rstd = 1 / sqrt(variance + (double)norm->epsilon);
    for (int c = first; c < end; c++) {
        scale[c] = (float)((double)norm->weight[c] * rstd);
        shift[c] = (float)((double)norm->bias[c] - mean * ((double)norm->weight[c] * rstd));
    }
}

void rk_group_norm_scales(rk_worker *worker, uint32_t features, const rk_group_norm *norm, float *scale, float *shift, const float *x, int pixels,
                          float *scratch) {
    const rk_norm_kernels kernels = rk_norm_kernels_for(features);
    const int blocks = block_count(pixels), channels = norm->channels;
    const size_t row = (size_t)channels;
    float *sums = scratch, *squares = sums + (size_t)blocks * row;

    for (int b; (b = rk_next_chunk(worker, blocks)) >= 0;) {
        float *sum = sums + (size_t)b * row, *square = squares + (size_t)b * row;
        memset(sum, 0, row * sizeof *sum);
        memset(square, 0, row * sizeof *square);
        kernels.channel_sums(sum, square, x + (size_t)b * BLOCK * row, x, rk_min(BLOCK, pixels - b * BLOCK), channels, row);
    }
    rk_barrier(worker);

    const statistics all = {.sums = sums, .squares = squares, .pivot = x, .pixels = pixels, .channels = channels};
    for (int g; (g = rk_next_chunk(worker, norm->groups)) >= 0;) join_group(norm, scale, shift, &all, g);
    rk_barrier(worker);
}

void rk_group_norm_run(rk_worker *worker, uint32_t features, const rk_group_norm *norm, float *y, const float *x, int pixels, float *scratch) {
    const rk_norm_kernels kernels = rk_norm_kernels_for(features);
    const int channels = norm->channels;
    float *scale = scratch + 2 * (size_t)block_count(pixels) * (size_t)channels, *shift = scale + channels;
    rk_group_norm_scales(worker, features, norm, scale, shift, x, pixels, scratch);
    for (int b; (b = rk_next_chunk(worker, block_count(pixels))) >= 0;) {
        const size_t offset = (size_t)b * BLOCK * (size_t)channels;
        kernels.scale_shift(y + offset, x + offset, scale, shift, rk_min(BLOCK, pixels - b * BLOCK), channels, 0);
    }
    rk_barrier(worker);
}
