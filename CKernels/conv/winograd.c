#include "conv.h"

rk_winograd_kernels rk_winograd_kernels_for(uint32_t features) {
    rk_winograd_kernels kernels = rk_winograd_scalar;
#if defined(__x86_64__)
    if (features & RK_CPU_AVX2) kernels = rk_winograd_avx2;
    if (features & RK_CPU_AVX512) kernels = rk_winograd_avx512;
#elif defined(__aarch64__)
    if (features & RK_CPU_NEON) kernels = rk_winograd_neon;
#endif
    (void)features;
    return kernels;
}

// Tiles are transformed INPUT_BYTES at a time into memory that all workers read; each worker multiplies ROWS tiles of them with the
// transformed weights of one panel, which it keeps to itself.
enum { INPUT_BYTES = 4 << 20, ROWS = 32, STEP = RK_WINOGRAD_OUT };

typedef struct image {
    const rk_conv *conv;
    const float *x, *zeros;
    int height, width;
    int tiles_across;
} image;

static size_t tile_stride(const rk_conv *conv) { return (size_t)conv->in_channels + 16; }

static int tiles_at_once(const rk_conv *conv) {
    const size_t bytes = RK_WINOGRAD_POSITIONS * tile_stride(conv) * sizeof(float);
    return rk_max(1, (int)(INPUT_BYTES / bytes / ROWS)) * ROWS;
}

static size_t weights_floats(const rk_conv *conv) { return (size_t)RK_WINOGRAD_POSITIONS * (size_t)conv->in_channels * RK_PANEL; }

static size_t worker_floats(const rk_conv *conv) { return weights_floats(conv) + RK_WINOGRAD_POSITIONS * ROWS * RK_PANEL; }

size_t rk_winograd_scratch(const rk_conv *conv, int workers) {
    return (size_t)conv->in_channels + (size_t)workers * worker_floats(conv) +
           RK_WINOGRAD_POSITIONS * (size_t)tiles_at_once(conv) * tile_stride(conv);
}

// The 6 x 6 pixels under a tile; zeros outside the image.
static void find_pixels(const image *of, int tile, const float *pixels[RK_WINOGRAD_POSITIONS]) {
    const int shift = of->conv->upsample ? 1 : 0, channels = of->conv->in_channels;
    const int y0 = tile / of->tiles_across * STEP - 1, x0 = tile % of->tiles_across * STEP - 1;
    for (int y = 0; y < RK_WINOGRAD_IN; y++) {
        for (int x = 0; x < RK_WINOGRAD_IN; x++) {
            const int iy = y0 + y, ix = x0 + x;
            const int inside = iy >= 0 && iy < of->height << shift && ix >= 0 && ix < of->width << shift;
            const size_t pixel = (size_t)(iy >> shift) * (size_t)of->width + (size_t)(ix >> shift);
            pixels[RK_WINOGRAD_IN * y + x] = inside ? of->x + pixel * (size_t)channels : of->zeros;
        }
    }
}

void rk_winograd_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const float *x, int height, int width,
                     float *out, int out_height, int out_width, size_t out_stride, const float *residual, float *scratch) {
    const rk_winograd_kernels kernels = rk_winograd_kernels_for(features);
    const rk_matmul_kernel multiply = rk_matmul_kernels_for(features).tile[RK_F32];
    const size_t channels = (size_t)conv->in_channels, stride = tile_stride(conv);
    const size_t panel_bytes = rk_panel_bytes(conv->weights.type, conv->weights.columns);
    const int panels = conv->weights.rows / RK_PANEL;
    const int across = (out_width + STEP - 1) / STEP, tiles = across * ((out_height + STEP - 1) / STEP);
    const int passes = (tiles + tiles_at_once(conv) - 1) / tiles_at_once(conv), in_pass = (tiles + passes - 1) / passes;

    float *u = scratch + (size_t)worker->index * worker_floats(conv), *m = u + weights_floats(conv);
    float *v = scratch + (size_t)worker->count * worker_floats(conv);
    float *zeros = v + RK_WINOGRAD_POSITIONS * (size_t)tiles_at_once(conv) * stride;
    if (worker->index == 0) memset(zeros, 0, channels * sizeof *zeros);
    rk_barrier(worker);
    const image in = {conv, x, zeros, height, width, across};

    for (int start = 0; start < tiles; start += in_pass) {
        const int count = rk_min(in_pass, tiles - start);
        const size_t position = (size_t)count * stride;
        for (int t; (t = rk_next_chunk(worker, count)) >= 0;) {
            const float *pixels[RK_WINOGRAD_POSITIONS];
            find_pixels(&in, start + t, pixels);
            kernels.input(v + (size_t)t * stride, position, pixels, conv->in_channels);
        }
        rk_barrier(worker);

        // Enough chunks for every worker: where panels are few, each panel's tiles are shared out.
        const int blocks = (count + ROWS - 1) / ROWS;
        const int parts = rk_min(blocks, (4 * worker->count + panels - 1) / panels), part = (blocks + parts - 1) / parts * ROWS;
        for (int chunk; (chunk = rk_next_chunk(worker, panels * parts)) >= 0;) {
            const int panel = chunk / parts, end = rk_min(count, (chunk % parts + 1) * part);
            const size_t channel = (size_t)panel * RK_PANEL;
            kernels.weights(u, (const char *)conv->weights.data + panel_bytes * (size_t)panel, conv->weights.type, conv->in_channels);
            for (int first = chunk % parts * part; first < end; first += ROWS) {
                const int rows = rk_min(ROWS, end - first);
                for (size_t i = 0; i < RK_WINOGRAD_POSITIONS; i++) {
                    multiply(&(rk_matmul_tile){
                        .weights = u + i * channels * RK_PANEL,
                        .panels = 1,
                        .columns = conv->in_channels,
                        .x = v + i * position + (size_t)first * stride,
                        .x_stride = stride,
                        .count = rows,
                        .out = m + i * ROWS * RK_PANEL,
                        .out_stride = RK_PANEL,
                    });
                }
                for (int t = 0; t < rows; t++) {
                    const int tile = start + first + t, y0 = tile / across * STEP, x0 = tile % across * STEP;
                    float *pixels[STEP * STEP];
                    const float *added[STEP * STEP];
                    for (int p = 0; p < STEP * STEP; p++) {
                        const int y = y0 + p / STEP, x1 = x0 + p % STEP;
                        const size_t at = ((size_t)y * (size_t)out_width + (size_t)x1) * out_stride + channel;
                        const int inside = y < out_height && x1 < out_width;
                        pixels[p] = inside ? out + at : NULL;
                        added[p] = inside && residual ? residual + at : NULL;
                    }
                    kernels.output(pixels, residual ? added : NULL, m + t * RK_PANEL, ROWS * RK_PANEL,
                                   conv->bias ? conv->bias + channel : NULL);
                }
            }
        }
        rk_barrier(worker);
    }
}
