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

// Panels of weights go in groups of as many as a register tile has. A group's weights of a position follow each other.
//
// By panels: tiles are transformed SHARED_BYTES at a time into memory that all workers read. A worker takes a group of panels, transforms CHANNELS
// of its weights at a time into memory of its own and multiplies them with up to TILES tiles, so that weights and products stay in its second-level
// cache.
//
// By tiles, where they are many and the weights of all panels, transformed, are no more than that: a worker transforms as many tiles as its second-level cache
// holds into memory of its own, where they stay while the weights, which all workers read, pass by. Only those come from further away, once for
// each range of tiles, where by panels all tiles would come for each panel.
//
// Either way tiles lie in blocks, a cache line of each after the other, and blocks follow each other in slices of the channels that are multiplied at a
// time: products read one stream. TILES is a multiple of every block. CHANNELS are those of all panels of a group together.
enum { SHARED_BYTES = 5 << 20, CHANNELS = 128, TILES = 96, BAND = 2048, STEP = RK_WINOGRAD_OUT };

// The distance of two positions is an odd number of cache lines, so that the 36 of a tile do not fall on the same sets.
static size_t odd_lines(size_t floats) { return (floats / 16 | 1) * 16; }

// Blocks of transformed tiles that fit into so many bytes.
static int blocks_in(const rk_conv *conv, int block, size_t bytes) {
    return rk_max(1, (int)(bytes / (RK_WINOGRAD_POSITIONS * (size_t)conv->in_channels * (size_t)block * sizeof(float))));
}

static size_t input_stride(const rk_conv *conv, int tiles) { return odd_lines((size_t)conv->in_channels * (size_t)tiles); }

static size_t weights_stride(int panels, int channels) { return odd_lines((size_t)panels * (size_t)channels * RK_PANEL); }

static size_t products_stride(int panels, int tiles) { return odd_lines((size_t)panels * (size_t)tiles * RK_PANEL); }

static int panel_count(const rk_conv *conv) { return (conv->weights.rows + RK_PANEL - 1) / RK_PANEL; }

// Groups of at most `panels` panels.
static int group_count(const rk_conv *conv, int panels) { return (panel_count(conv) + panels - 1) / panels; }

// Channels of a group's weights that are transformed at a time.
static int channels_at_once(const rk_conv *conv, int panels) { return rk_min(CHANNELS / panels / 16 * 16, conv->in_channels); }

// Tiles whose pixels are normalized together.
static int tiles_in_band(const rk_conv *conv) { return rk_max(2, BAND / conv->in_channels); }

// Pixels of such a band: those of n tiles in one row, or of up to n / 2 + 1 in each of two.
static size_t band_floats(const rk_conv *conv) {
    const int n = tiles_in_band(conv), one_row = (STEP * n + 2) * RK_WINOGRAD_IN, two_rows = (STEP * (n / 2 + 1) + 2) * (2 * STEP + 2);
    return (size_t)rk_max(one_row, two_rows) * (size_t)conv->in_channels;
}

// How the memory of a way of computing is laid out: what all workers share, then what each has for itself, then its band.
typedef struct layout {
    size_t shared, own; // floats
} layout;

static layout by_panels(const rk_conv *conv, int panels, int tiles) {
    return (layout){RK_WINOGRAD_POSITIONS * input_stride(conv, tiles),
                    RK_WINOGRAD_POSITIONS * (weights_stride(panels, channels_at_once(conv, panels)) + products_stride(panels, TILES))};
}

static layout by_tiles(const rk_conv *conv, int panels, int tiles) {
    return (layout){RK_WINOGRAD_POSITIONS * weights_stride(panels, conv->in_channels) * (size_t)group_count(conv, panels),
                    RK_WINOGRAD_POSITIONS * (input_stride(conv, tiles) + products_stride(panels, tiles))};
}

static int may_go_by_tiles(const rk_conv *conv, int panels) { return by_tiles(conv, panels, 0).shared * sizeof(float) <= SHARED_BYTES; }

// The most blocks of tiles that a worker takes at once: its products and a group of panels need some of the cache as well.
static int most_blocks(const rk_conv *conv, int block) { return blocks_in(conv, block, rk_cpu_cache() / 8 * 5); }

// Blocks of tiles that a worker takes at once; 0: by panels, as so few tiles are not worth reading all weights for.
static int blocks_by_tiles(const rk_conv *conv, const rk_winograd_kernels *kernels, int blocks, int workers) {
    enum { FEWEST = 2, RANGES_PER_WORKER = 4 };
    const int fair = rk_min(most_blocks(conv, kernels->block), blocks / (workers * RANGES_PER_WORKER));
    return may_go_by_tiles(conv, kernels->panels) && fair >= FEWEST ? fair : 0;
}

static size_t scratch_floats(const rk_conv *conv, layout l, int workers) {
    return (size_t)conv->in_channels + l.shared + (size_t)workers * (l.own + band_floats(conv));
}

size_t rk_winograd_scratch(uint32_t features, const rk_conv *conv, int workers) {
    const rk_winograd_kernels kernels = rk_winograd_kernels_for(features);
    const int block = kernels.block, panels = kernels.panels, most = block * blocks_in(conv, block, SHARED_BYTES);
    const size_t floats = scratch_floats(conv, by_panels(conv, panels, most), workers);
    if (!may_go_by_tiles(conv, panels)) return floats;
    const size_t others = scratch_floats(conv, by_tiles(conv, panels, block * most_blocks(conv, block)), workers);
    return floats > others ? floats : others;
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

// A convolution, and one worker's memory for it.
typedef struct pass {
    const rk_conv *conv;
    rk_winograd_kernels kernels;
    rk_norm_kernels norm;
    region image;
    int height, width;
    grid all;
    float *out;
    const float *residual;
    int out_height, out_width;
    size_t out_stride;
    int slice, tiles; // channels that are multiplied at a time, and tiles in the memory for transformed ones
    float *shared, *own, *band;
} pass;

// Where channel c, the first of a slice of `channels`, of tile t of the memory v lies: at the first position.
static size_t tile_offset(const pass *p, int c, int channels, int t) {
    const int block = p->kernels.block;
    return (size_t)c * (size_t)p->tiles + (size_t)(t / block) * (size_t)(channels * block) + (size_t)(t % block * 16);
}

// Transforms the tiles first ..< end of a memory that begins with tile `start`. At most tiles_in_band if they are normalized.
static void read_tiles(const pass *p, float *v, size_t position, int start, int first, int end) {
    for (int last; first < end; first = last) {
        last = rk_min(end, (pair_of(p->all, first) + 1) * 2 * p->all.across);
        const region from = p->conv->scale
            ? read_band(p->conv, &p->norm, p->band, &p->image, p->height, p->width, p->all, first, last) : p->image;
        for (int tile = first; tile < last; tile++) {
            const float *pixels[RK_WINOGRAD_POSITIONS];
            find_pixels(p->conv, &from, p->height, p->width, find_tile(p->all, tile), pixels);
            for (int c = 0; c < p->conv->in_channels; c += p->slice) {
                const int some = rk_min(p->slice, p->conv->in_channels - c);
                p->kernels.input(v + tile_offset(p, c, some, tile - start), position, pixels, some, p->conv->upsample);
                for (int i = 0; i < RK_WINOGRAD_POSITIONS; i++) pixels[i] += some;
            }
        }
    }
}

// `channels` of the weights of a group at u, times those of `count` tiles at v.
static void multiply(const pass *p, float *m, size_t product, const float *v, size_t position, const float *u, size_t weight, int panels,
                     int channels, int count, int more) {
    const size_t block = (size_t)channels * (size_t)p->kernels.block;
    for (size_t i = 0; i < RK_WINOGRAD_POSITIONS; i++) {
        if (p->conv->upsample && (i / 6 == 2 || i % 6 == 2)) continue;
        p->kernels.multiply(m + i * product, v + i * position, block, u + i * weight, panels, channels, count, more);
    }
}

// The pixels of a group's channels from the products of the tiles first ..< first + count.
static void write_tiles(const pass *p, const float *m, size_t product, int panel, int panels, int first, int count) {
    for (int t = 0; t < count; t++) {
        const place tile = find_tile(p->all, first + t);
        float *pixels[STEP * STEP];
        const float *added[STEP * STEP];
        for (int i = 0; i < STEP * STEP; i++) {
            const int y = tile.y + i / STEP, x = tile.x + i % STEP;
            const size_t at = ((size_t)y * (size_t)p->out_width + (size_t)x) * p->out_stride + (size_t)panel * RK_PANEL;
            const int inside = y < p->out_height && x < p->out_width;
            pixels[i] = inside ? p->out + at : NULL;
            added[i] = inside && p->residual ? p->residual + at : NULL;
        }
        for (int n = 0; n < panels; n++, m += RK_PANEL) {
            const float *bias = p->conv->bias ? p->conv->bias + (size_t)(panel + n) * RK_PANEL : NULL;
            p->kernels.output(pixels, p->residual ? added : NULL, m, product, bias);
            for (int i = 0; i < STEP * STEP; i++) {
                if (pixels[i]) pixels[i] += RK_PANEL;
                if (added[i]) added[i] += RK_PANEL;
            }
        }
    }
}

// The weights of a group for channels first ..< first + count.
static void transform_weights(const pass *p, float *u, size_t weight, int panel, int panels, int first, int count) {
    const rk_matrix *weights = &p->conv->weights;
    const size_t bytes = rk_panel_bytes(weights->type, weights->columns);
    for (int n = 0; n < panels; n++, u += count * RK_PANEL) {
        const void *from = (const char *)weights->data + bytes * (size_t)(panel + n);
        p->kernels.weights(u, weight, from, weights->type, p->conv->in_channels, first, count);
    }
}

static void run_by_panels(rk_worker *worker, const pass *p, int tiles, int in_pass) {
    const rk_conv *conv = p->conv;
    const int channels = conv->in_channels, most = p->kernels.panels, groups = group_count(conv, most);
    const int at_once = conv->scale ? tiles_in_band(conv) : 1, slice = p->slice;
    const size_t weight = weights_stride(most, slice), product = products_stride(most, TILES), position = input_stride(conv, in_pass);
    float *u = p->own, *m = u + RK_WINOGRAD_POSITIONS * weight, *v = p->shared;
    if (conv->upsample) memset(m, 0, RK_WINOGRAD_POSITIONS * product * sizeof *m);
    for (int start = 0; start < tiles; start += in_pass) {
        const int count = rk_min(in_pass, tiles - start);
        for (int chunk; (chunk = rk_next_chunk(worker, (count + at_once - 1) / at_once)) >= 0;)
            read_tiles(p, v, position, start, start + chunk * at_once, start + rk_min(count, (chunk + 1) * at_once));
        rk_barrier(worker);

        // Enough chunks for every worker: where groups are few, each group's tiles are shared out.
        const int ranges = (count + TILES - 1) / TILES;
        const int parts = rk_min(ranges, (4 * worker->count + groups - 1) / groups), part = (ranges + parts - 1) / parts * TILES;
        for (int chunk; (chunk = rk_next_chunk(worker, groups * parts)) >= 0;) {
            const int panel = chunk / parts * most, panels = rk_min(most, panel_count(conv) - panel);
            const int begin = chunk % parts * part, end = rk_min(count, begin + part);
            for (int first = begin; first < end; first += TILES) {
                const int rows = rk_min(TILES, end - first);
                for (int c = 0; c < channels; c += slice) {
                    const int some = rk_min(slice, channels - c);
                    const float *inputs = v + tile_offset(p, c, some, first);
                    if (first == begin || channels > slice) transform_weights(p, u, weight, panel, panels, c, some);
                    multiply(p, m, product, inputs, position, u, weight, panels, some, rows, c > 0);
                }
                write_tiles(p, m, product, panel, panels, start + first, rows);
            }
        }
        rk_barrier(worker);
    }
}

static void run_by_tiles(rk_worker *worker, const pass *p, int tiles, int range) {
    const rk_conv *conv = p->conv;
    const int channels = conv->in_channels, most = p->kernels.panels, groups = group_count(conv, most);
    const int at_once = conv->scale ? tiles_in_band(conv) : range;
    const size_t weight = weights_stride(most, channels), product = products_stride(most, range), position = input_stride(conv, range);
    float *u = p->shared, *v = p->own, *m = v + RK_WINOGRAD_POSITIONS * position;
    if (conv->upsample) memset(m, 0, RK_WINOGRAD_POSITIONS * product * sizeof *m);
    for (int group; (group = rk_next_chunk(worker, groups)) >= 0;) {
        float *to = u + RK_WINOGRAD_POSITIONS * weight * (size_t)group;
        transform_weights(p, to, weight, group * most, rk_min(most, panel_count(conv) - group * most), 0, channels);
    }
    rk_barrier(worker);
    for (int chunk; (chunk = rk_next_chunk(worker, (tiles + range - 1) / range)) >= 0;) {
        const int start = chunk * range, end = rk_min(tiles, start + range);
        for (int first = start; first < end; first += at_once) read_tiles(p, v, position, start, first, rk_min(end, first + at_once));
        for (int group = 0; group < groups; group++) {
            const float *weights = u + RK_WINOGRAD_POSITIONS * weight * (size_t)group;
            const int panel = group * most, panels = rk_min(most, panel_count(conv) - panel);
            multiply(p, m, product, v, position, weights, weight, panels, channels, end - start, 0);
            write_tiles(p, m, product, panel, panels, start, end - start);
        }
    }
    rk_barrier(worker);
}

void rk_winograd_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const float *x, int height, int width,
                     float *out, int out_height, int out_width, size_t out_stride, const float *residual, float *scratch) {
    const grid all = {(out_width + STEP - 1) / STEP, (out_height + STEP - 1) / STEP};
    const rk_winograd_kernels kernels = rk_winograd_kernels_for(features);
    const int block = kernels.block, tiles = all.across * all.down, blocks = (tiles + block - 1) / block;
    const int most = blocks_in(conv, block, SHARED_BYTES), passes = (blocks + most - 1) / most;
    const int in_pass = (blocks + passes - 1) / passes * block, in_range = blocks_by_tiles(conv, &kernels, blocks, worker->count) * block;
    const layout l = in_range ? by_tiles(conv, kernels.panels, in_range) : by_panels(conv, kernels.panels, in_pass);
    float *zeros = scratch, *shared = zeros + conv->in_channels, *own = shared + l.shared + (size_t)worker->index * (l.own + band_floats(conv));
    const pass p = {
        .conv = conv, .kernels = kernels, .norm = rk_norm_kernels_for(features),
        .image = {x, zeros, 0, 0, width}, .height = height, .width = width, .all = all,
        .out = out, .residual = residual, .out_height = out_height, .out_width = out_width, .out_stride = out_stride,
        .slice = in_range ? conv->in_channels : channels_at_once(conv, kernels.panels), .tiles = in_range ? in_range : in_pass,
        .shared = shared, .own = own, .band = own + l.own,
    };
    if (worker->index == 0) memset(zeros, 0, (size_t)conv->in_channels * sizeof *zeros);
    rk_barrier(worker);
    if (in_range) run_by_tiles(worker, &p, tiles, in_range);
    else run_by_panels(worker, &p, tiles, in_pass);
}
