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

// Tiles are transformed INPUT_BYTES at a time into memory that all workers read, in blocks of tiles, a cache line of each after the other: the
// products read them as one stream. A worker takes a panel of weights, transforms CHANNELS of it at a time into memory of its own and
// multiplies them with up to TILES tiles, so that weights and products stay in its second-level cache.
enum { INPUT_BYTES = 4 << 20, CHANNELS = 128, TILES = 96, STEP = RK_WINOGRAD_OUT, BLOCK = RK_WINOGRAD_BLOCK };

typedef struct image {
    const rk_conv *conv;
    const float *x, *zeros;
    int height, width;
    int tiles_across;
} image;

// The distance of two positions is an odd number of cache lines, so that the 36 of a tile do not fall on the same sets.
static size_t odd_lines(size_t floats) { return (floats / 16 | 1) * 16; }

static size_t block_floats(const rk_conv *conv) { return (size_t)conv->in_channels * BLOCK; }

static int blocks_at_once(const rk_conv *conv) {
    return rk_max(1, (int)(INPUT_BYTES / (RK_WINOGRAD_POSITIONS * block_floats(conv) * sizeof(float))));
}

static size_t input_stride(const rk_conv *conv, int blocks) { return odd_lines(block_floats(conv) * (size_t)blocks); }

static size_t weights_stride(const rk_conv *conv) { return odd_lines((size_t)rk_min(CHANNELS, conv->in_channels) * RK_PANEL); }

static size_t products_stride(void) { return odd_lines(TILES * RK_PANEL); }

static size_t worker_floats(const rk_conv *conv) { return RK_WINOGRAD_POSITIONS * (weights_stride(conv) + products_stride()); }

size_t rk_winograd_scratch(const rk_conv *conv, int workers) {
    return (size_t)conv->in_channels + (size_t)workers * worker_floats(conv) +
           RK_WINOGRAD_POSITIONS * input_stride(conv, blocks_at_once(conv));
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
    const int channels = conv->in_channels, panels = (conv->weights.rows + RK_PANEL - 1) / RK_PANEL, upsampled = conv->upsample;
    const size_t panel_bytes = rk_panel_bytes(conv->weights.type, conv->weights.columns);
    const int across = (out_width + STEP - 1) / STEP, tiles = across * ((out_height + STEP - 1) / STEP);
    const int blocks = (tiles + BLOCK - 1) / BLOCK, passes = (blocks + blocks_at_once(conv) - 1) / blocks_at_once(conv);
    const int in_pass = (blocks + passes - 1) / passes;

    const size_t weight = weights_stride(conv), product = products_stride(), position = input_stride(conv, in_pass);
    const size_t block = block_floats(conv);

    float *u = scratch + (size_t)worker->index * worker_floats(conv), *m = u + RK_WINOGRAD_POSITIONS * weight;
    float *v = scratch + (size_t)worker->count * worker_floats(conv), *zeros = v + RK_WINOGRAD_POSITIONS * position;
    if (worker->index == 0) memset(zeros, 0, (size_t)channels * sizeof *zeros);
    if (upsampled) memset(m, 0, RK_WINOGRAD_POSITIONS * product * sizeof *m);
    rk_barrier(worker);
    const image in = {conv, x, zeros, height, width, across};

    for (int start = 0; start < tiles; start += in_pass * BLOCK) {
        const int count = rk_min(in_pass * BLOCK, tiles - start);
        for (int t; (t = rk_next_chunk(worker, count)) >= 0;) {
            const float *pixels[RK_WINOGRAD_POSITIONS];
            find_pixels(&in, start + t, pixels);
            kernels.input(v + (size_t)(t / BLOCK) * block + (size_t)(t % BLOCK) * 16, position, pixels, channels, upsampled);
        }
        rk_barrier(worker);

        // Enough chunks for every worker: where panels are few, each panel's tiles are shared out.
        const int ranges = (count + TILES - 1) / TILES;
        const int parts = rk_min(ranges, (4 * worker->count + panels - 1) / panels), part = (ranges + parts - 1) / parts * TILES;
        for (int chunk; (chunk = rk_next_chunk(worker, panels * parts)) >= 0;) {
            const int panel = chunk / parts, begin = chunk % parts * part, end = rk_min(count, begin + part);
            const size_t channel = (size_t)panel * RK_PANEL;
            const void *weights = (const char *)conv->weights.data + panel_bytes * (size_t)panel;
            for (int first = begin; first < end; first += TILES) {
                const int rows = rk_min(TILES, end - first);
                for (int c = 0; c < channels; c += CHANNELS) {
                    const int some = rk_min(CHANNELS, channels - c);
                    const float *inputs = v + (size_t)(first / BLOCK) * block + (size_t)c * BLOCK;
                    if (first == begin || channels > CHANNELS) kernels.weights(u, weight, weights, conv->weights.type, channels, c, some);
                    for (size_t i = 0; i < RK_WINOGRAD_POSITIONS; i++) {
                        if (upsampled && (i / 6 == 2 || i % 6 == 2)) continue;
                        kernels.multiply(m + i * product, inputs + i * position, block, u + i * weight, some, rows, c > 0);
                    }
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
                    kernels.output(pixels, residual ? added : NULL, m + t * RK_PANEL, product, conv->bias ? conv->bias + channel : NULL);
                }
            }
        }
        rk_barrier(worker);
    }
}
