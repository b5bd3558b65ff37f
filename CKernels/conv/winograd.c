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
enum { INPUT_BYTES = 5 << 20, CHANNELS = 128, TILES = 96, BAND = 2048, STEP = RK_WINOGRAD_OUT, BLOCK = RK_WINOGRAD_BLOCK };

// The distance of two positions is an odd number of cache lines, so that the 36 of a tile do not fall on the same sets.
static size_t odd_lines(size_t floats) { return (floats / 16 | 1) * 16; }

static size_t block_floats(const rk_conv *conv) { return (size_t)conv->in_channels * BLOCK; }

static int blocks_at_once(const rk_conv *conv) {
    return rk_max(1, (int)(INPUT_BYTES / (RK_WINOGRAD_POSITIONS * block_floats(conv) * sizeof(float))));
}

static size_t input_stride(const rk_conv *conv, int blocks) { return odd_lines(block_floats(conv) * (size_t)blocks); }

static size_t weights_stride(const rk_conv *conv) { return odd_lines((size_t)rk_min(CHANNELS, conv->in_channels) * RK_PANEL); }

static size_t products_stride(void) { return odd_lines(TILES * RK_PANEL); }

// Tiles whose pixels are normalized together.
static int tiles_in_band(const rk_conv *conv) { return rk_max(2, BAND / conv->in_channels); }

// Pixels of such a band: those of n tiles in one row, or of up to n / 2 + 1 in each of two.
static size_t band_floats(const rk_conv *conv) {
    const int n = tiles_in_band(conv), one_row = (STEP * n + 2) * RK_WINOGRAD_IN, two_rows = (STEP * (n / 2 + 1) + 2) * (2 * STEP + 2);
    return (size_t)rk_max(one_row, two_rows) * (size_t)conv->in_channels;
}

static size_t worker_floats(const rk_conv *conv) {
    return RK_WINOGRAD_POSITIONS * (weights_stride(conv) + products_stride()) + band_floats(conv);
}

size_t rk_winograd_scratch(const rk_conv *conv, int workers) {
    return (size_t)conv->in_channels + (size_t)workers * worker_floats(conv) +
           RK_WINOGRAD_POSITIONS * input_stride(conv, blocks_at_once(conv));
}

// Tiles are numbered along pairs of rows, the upper one before the lower one, so that neighbours share more pixels.
typedef struct grid {
    int across, down;
} grid;

typedef struct place {
    int y, x; // the first output pixel of a tile
} place;

static int pair_of(grid tiles, int tile) { return tile / (2 * tiles.across); }

static place find_tile(grid tiles, int tile) {
    const int y = 2 * pair_of(tiles, tile), at = tile % (2 * tiles.across);
    return y + 1 < tiles.down ? (place){(y + at % 2) * STEP, at / 2 * STEP} : (place){y * STEP, at * STEP};
}

// A rectangle of the image that is read: its upper left pixel, and pixels in a row of memory.
typedef struct region {
    const float *x, *zeros;
    int top, left, width;
} region;

// The 6 x 6 pixels under a tile; zeros outside the image.
static void find_pixels(const rk_conv *conv, const region *from, int height, int width, place tile,
                        const float *pixels[RK_WINOGRAD_POSITIONS]) {
    const int shift = conv->upsample ? 1 : 0;
    for (int y = 0; y < RK_WINOGRAD_IN; y++) {
        for (int x = 0; x < RK_WINOGRAD_IN; x++) {
            const int iy = tile.y - 1 + y, ix = tile.x - 1 + x;
            const int inside = iy >= 0 && iy < height << shift && ix >= 0 && ix < width << shift;
            const ptrdiff_t pixel = (ptrdiff_t)((iy >> shift) - from->top) * from->width + (ix >> shift) - from->left;
            pixels[RK_WINOGRAD_IN * y + x] = inside ? from->x + pixel * conv->in_channels : from->zeros;
        }
    }
}

// Normalizes the pixels under the tiles first ..< end of one pair of rows into `band`.
static region read_band(const rk_conv *conv, const rk_norm_kernels *norm, float *band, const region *from, int height, int width, grid tiles,
                        int first, int end) {
    const int shift = conv->upsample ? 1 : 0;
    const place begin = find_tile(tiles, first), last = find_tile(tiles, end - 1), second = find_tile(tiles, rk_min(first + 1, end - 1));
    const int above = rk_min(begin.y, second.y), below = rk_max(begin.y, second.y);
    const int top = rk_max(0, above - 1) >> shift, bottom = rk_min(height, ((below + STEP) >> shift) + 1);
    const int left = rk_max(0, begin.x - 1) >> shift, right = rk_min(width, ((last.x + STEP) >> shift) + 1);
    const region read = {band, from->zeros, top, left, right - left};
    for (int y = top; y < bottom; y++, band += (size_t)read.width * (size_t)conv->in_channels)
        rk_conv_read(conv, norm, band, from->x + ((size_t)y * (size_t)width + (size_t)left) * (size_t)conv->in_channels, read.width);
    return read;
}

void rk_winograd_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const float *x, int height, int width,
                     float *out, int out_height, int out_width, size_t out_stride, const float *residual, float *scratch) {
    const rk_winograd_kernels kernels = rk_winograd_kernels_for(features);
    const int channels = conv->in_channels, panels = (conv->weights.rows + RK_PANEL - 1) / RK_PANEL, upsampled = conv->upsample;
    const size_t panel_bytes = rk_panel_bytes(conv->weights.type, conv->weights.columns);
    const rk_norm_kernels norm = rk_norm_kernels_for(features);
    const grid all = {(out_width + STEP - 1) / STEP, (out_height + STEP - 1) / STEP};
    const int tiles = all.across * all.down;
    const int blocks = (tiles + BLOCK - 1) / BLOCK, passes = (blocks + blocks_at_once(conv) - 1) / blocks_at_once(conv);
    const int in_pass = (blocks + passes - 1) / passes;

    const size_t weight = weights_stride(conv), product = products_stride(), position = input_stride(conv, in_pass);
    const size_t block = block_floats(conv);

    float *u = scratch + (size_t)worker->index * worker_floats(conv), *m = u + RK_WINOGRAD_POSITIONS * weight;
    float *band = m + RK_WINOGRAD_POSITIONS * product;
    float *v = scratch + (size_t)worker->count * worker_floats(conv), *zeros = v + RK_WINOGRAD_POSITIONS * position;
    if (worker->index == 0) memset(zeros, 0, (size_t)channels * sizeof *zeros);
    if (upsampled) memset(m, 0, RK_WINOGRAD_POSITIONS * product * sizeof *m);
    rk_barrier(worker);
    const region image = {x, zeros, 0, 0, width};
    const int at_once = conv->scale ? tiles_in_band(conv) : 1;

    for (int start = 0; start < tiles; start += in_pass * BLOCK) {
        const int count = rk_min(in_pass * BLOCK, tiles - start);
        for (int chunk; (chunk = rk_next_chunk(worker, (count + at_once - 1) / at_once)) >= 0;) {
            const int end = start + rk_min(count, (chunk + 1) * at_once);
            for (int first = start + chunk * at_once, last; first < end; first = last) {
                last = rk_min(end, (pair_of(all, first) + 1) * 2 * all.across);
                const region from = conv->scale ? read_band(conv, &norm, band, &image, height, width, all, first, last) : image;
                for (int tile = first; tile < last; tile++) {
                    const int t = tile - start;
                    const float *pixels[RK_WINOGRAD_POSITIONS];
                    find_pixels(conv, &from, height, width, find_tile(all, tile), pixels);
                    kernels.input(v + (size_t)(t / BLOCK) * block + (size_t)(t % BLOCK) * 16, position, pixels, channels, upsampled);
                }
            }
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
                    const place tile = find_tile(all, start + first + t);
                    float *pixels[STEP * STEP];
                    const float *added[STEP * STEP];
                    for (int p = 0; p < STEP * STEP; p++) {
                        const int y = tile.y + p / STEP, x1 = tile.x + p % STEP;
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
