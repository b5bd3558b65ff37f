#include "conv.h"

// Panels of weights go in groups of as many as a register tile has. A group's weights of a position follow each other.
//
// By panels: tiles are transformed SHARED_BYTES at a time into memory that all workers read. A worker takes a group of panels, transforms CHANNELS
// of its weights at a time into memory of its own and multiplies them with up to TILES tiles, so that weights and products stay in its L2.
//
// By tiles, where they are many and the weights of all panels, transformed, are no more than that: a worker transforms as many tiles as its
// L2 holds into memory of its own, where they stay while the weights, which all workers read, pass by. Only those come from further
// away, once for each range of tiles, where by panels all tiles would come for each panel.
//
// Either way tiles lie in blocks, a cache line of each after the other, and blocks follow each other in slices of the channels that are multiplied at
// a time: products read one stream. TILES is a multiple of every block. CHANNELS are those of all panels of a group together; integers have slices of
// their own, as their roundings must not depend on which it is.
enum { SHARED_BYTES = 5 << 20, CHANNELS = 128, TILES = 96, BAND = 2048, STEP = RK_WINOGRAD_OUT };

// The distance of two positions is an odd number of cache lines, so that the 36 of a tile do not fall on the same sets.
static size_t odd_lines(size_t floats) { return (floats / 16 | 1) * 16; }

static rk_conv_kernels kernels_of(uint32_t features, const rk_conv *conv) {
    return rk_conv_kernels_for(features, rk_conv_is_int16(conv) ? RK_CONV_INT16 : RK_CONV_WINOGRAD);
}

// Memory for the 36 positions of tiles, products or weights: each `stride` floats behind the one before.
typedef struct positions {
    float *first;
    size_t stride;
} positions;

static positions after(positions p, size_t floats) { return (positions){p.first + floats, p.stride}; }

// Where the memory behind all positions begins.
static float *end_of(positions p) { return p.first + RK_WINOGRAD_POSITIONS * p.stride; }

static void clear(positions p) { memset(p.first, 0, RK_WINOGRAD_POSITIONS * p.stride * sizeof *p.first); }

// A convolution, its kernels and channels that are multiplied at a time: at most `slice`.
typedef struct job {
    const rk_conv *conv;
    rk_conv_kernels kernels;
    int slice;
} job;

// Floats of memory that a slice of `channels` takes: of a block of tiles, of a panel of weights.
static size_t block_floats(const job *j, int channels) {
    return j->kernels.slice ? rk_int16_block(&j->kernels, channels) : (size_t)channels * (size_t)j->kernels.block;
}

static size_t panel_floats(const job *j, int channels) {
    return j->kernels.slice ? rk_int16_panel(channels) : (size_t)channels * RK_PANEL;
}

// Of all channels, of which all slices but the last one have j->slice.
static size_t in_slices(const job *j, size_t (*floats)(const job *j, int channels)) {
    const int channels = j->conv->in_channels, last = channels % j->slice;
    return floats(j, j->slice) * (size_t)(channels / j->slice) + (last ? floats(j, last) : 0);
}

static size_t input_stride(const job *j, int blocks) { return odd_lines(in_slices(j, block_floats) * (size_t)blocks); }

static size_t products_stride(const job *j, int tiles) { return odd_lines((size_t)j->kernels.panels * (size_t)tiles * RK_PANEL); }

// Of one slice of a group's weights, and of all.
static size_t slice_stride(const job *j) { return odd_lines((size_t)j->kernels.panels * panel_floats(j, j->slice)); }

static size_t weights_stride(const job *j) { return odd_lines((size_t)j->kernels.panels * in_slices(j, panel_floats)); }

static int panel_count(const rk_conv *conv) { return rk_divide_up(conv->weights.rows, RK_PANEL); }

// Groups of at most as many panels as a register tile has.
static int group_count(const job *j) { return rk_divide_up(panel_count(j->conv), j->kernels.panels); }

static job by_panels(const rk_conv *conv, const rk_conv_kernels *kernels) {
    const int most = kernels->slice ? kernels->slice : CHANNELS / kernels->panels / 16 * 16;
    return (job){conv, *kernels, rk_min(most, conv->in_channels)};
}

static job by_tiles(const rk_conv *conv, const rk_conv_kernels *kernels) {
    return (job){conv, *kernels, kernels->slice ? rk_min(kernels->slice, conv->in_channels) : conv->in_channels};
}

// Blocks of transformed tiles that fit into so many bytes.
static int blocks_in(const job *j, size_t bytes) {
    return rk_max(1, (int)(bytes / (RK_WINOGRAD_POSITIONS * sizeof(float) * in_slices(j, block_floats))));
}

// Tiles whose pixels are normalized together.
static int tiles_in_band(const rk_conv *conv) { return rk_max(2, BAND / conv->in_channels); }

// Pixels of such a band: those of n tiles in one row, or of up to n / 2 + 1 in each of two.
static size_t band_floats(const rk_conv *conv) {
    const int n = tiles_in_band(conv), one_row = (STEP * n + 2) * RK_WINOGRAD_IN, two_rows = (STEP * (n / 2 + 1) + 2) * (2 * STEP + 2);
    return (size_t)rk_max(one_row, two_rows) * (size_t)conv->in_channels;
}

// How memory is laid out, by panels or by tiles: what all workers share, then what each has for itself, then its band.
typedef struct layout {
    size_t shared, private; // floats
} layout;

static layout layout_by_panels(const job *j, int blocks) {
    return (layout){RK_WINOGRAD_POSITIONS * input_stride(j, blocks), RK_WINOGRAD_POSITIONS * (slice_stride(j) + products_stride(j, TILES))};
}

static layout layout_by_tiles(const job *j, int blocks) {
    return (layout){RK_WINOGRAD_POSITIONS * weights_stride(j) * (size_t)group_count(j),
                    RK_WINOGRAD_POSITIONS * (input_stride(j, blocks) + products_stride(j, blocks * j->kernels.block))};
}

static int may_go_by_tiles(const job *j) { return layout_by_tiles(j, 0).shared * sizeof(float) <= SHARED_BYTES; }

// The most blocks of tiles that a worker takes at once: its products and a group of panels need some of the cache as well.
static int most_blocks(const job *j) { return blocks_in(j, rk_cpu_l2_bytes() / (j->kernels.slice ? 16 : 8) * 5); }

// How so many blocks of tiles are computed.
typedef struct plan {
    job job;
    int by_tiles;
    int blocks; // of tiles in the memory for transformed ones
    layout layout;
} plan;

static plan make_plan(const rk_conv *conv, const rk_conv_kernels *kernels, int blocks, int workers) {
    enum { FEWEST = 2, RANGES_PER_WORKER = 4 }; // so few tiles are not worth reading all weights for
    const job panels = by_panels(conv, kernels), tiles = by_tiles(conv, kernels);
    const int fair = rk_min(most_blocks(&tiles), blocks / (workers * RANGES_PER_WORKER));
    if (may_go_by_tiles(&tiles) && fair >= FEWEST) return (plan){tiles, 1, fair, layout_by_tiles(&tiles, fair)};
    const int passes = rk_divide_up(blocks, blocks_in(&panels, SHARED_BYTES)), in_pass = rk_divide_up(blocks, passes);
    return (plan){panels, 0, in_pass, layout_by_panels(&panels, in_pass)};
}

static size_t scratch_floats(const rk_conv *conv, layout l, int workers) {
    return (size_t)conv->in_channels + l.shared + (size_t)workers * (l.private + band_floats(conv));
}

size_t rk_winograd_scratch(uint32_t features, const rk_conv *conv, int workers) {
    const rk_conv_kernels kernels = kernels_of(features, conv);
    const job panels = by_panels(conv, &kernels), tiles = by_tiles(conv, &kernels);
    const size_t floats = scratch_floats(conv, layout_by_panels(&panels, blocks_in(&panels, SHARED_BYTES)), workers);
    if (!may_go_by_tiles(&tiles)) return floats;
    const size_t others = scratch_floats(conv, layout_by_tiles(&tiles, most_blocks(&tiles)), workers);
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

// A job, and one worker's memory for it.
typedef struct pass {
    job job;
    rk_norm_kernels norm;
    rk_conv_images images;
    region whole; // the image as it is
    grid all;
    int blocks; // of tiles in the memory for transformed ones
    float *shared, *private, *band;
} pass;

// The 6 x 6 pixels under a tile; zeros outside the image.
static void find_pixels(const pass *p, const region *from, place tile, const float *pixels[RK_WINOGRAD_POSITIONS]) {
    const rk_conv *conv = p->job.conv;
    const int shift = conv->upsample ? 1 : 0, height = p->images.height << shift, width = p->images.width << shift;
    for (int y = 0; y < RK_WINOGRAD_IN; y++) {
        for (int x = 0; x < RK_WINOGRAD_IN; x++) {
            const int iy = tile.y - 1 + y, ix = tile.x - 1 + x;
            const int inside = iy >= 0 && iy < height && ix >= 0 && ix < width;
            const ptrdiff_t pixel = (ptrdiff_t)((iy >> shift) - from->top) * from->width + (ix >> shift) - from->left;
            pixels[RK_WINOGRAD_IN * y + x] = inside ? from->x + pixel * conv->in_channels : from->zeros;
        }
    }
}

// Normalizes the pixels under the tiles first ..< end of one pair of rows into the band.
static region read_band(const pass *p, int first, int end) {
    const rk_conv *conv = p->job.conv;
    const int shift = conv->upsample ? 1 : 0, height = p->images.height, width = p->images.width;
    const place begin = find_tile(p->all, first), last = find_tile(p->all, end - 1), second = find_tile(p->all, rk_min(first + 1, end - 1));
    const int above = rk_min(begin.y, second.y), below = rk_max(begin.y, second.y);
    const int top = rk_max(0, above - 1) >> shift, bottom = rk_min(height, ((below + STEP) >> shift) + 1);
    const int left = rk_max(0, begin.x - 1) >> shift, right = rk_min(width, ((last.x + STEP) >> shift) + 1);
    const region read = {p->band, p->whole.zeros, top, left, right - left};
    float *band = p->band;
    for (int y = top; y < bottom; y++, band += (size_t)read.width * (size_t)conv->in_channels)
        rk_conv_read(conv, &p->norm, band, p->images.x + ((size_t)y * (size_t)width + (size_t)left) * (size_t)conv->in_channels, read.width);
    return read;
}

static int channels_from(const job *j, int c) { return rk_min(j->slice, j->conv->in_channels - c); }

// Where a slice of a block of tiles lies that begins with channel c: at the first position.
static size_t block_offset(const pass *p, int c, int block) {
    const size_t before = (size_t)(c / p->job.slice) * (size_t)p->blocks * block_floats(&p->job, p->job.slice);
    return before + (size_t)block * block_floats(&p->job, channels_from(&p->job, c));
}

// Transforms the tiles first ..< end of a memory that begins with tile `start`. At most tiles_in_band if they are normalized.
static void read_tiles(const pass *p, positions v, int start, int first, int end) {
    const rk_conv *conv = p->job.conv;
    const int block = p->job.kernels.block;
    for (int last; first < end; first = last) {
        last = rk_min(end, (pair_of(p->all, first) + 1) * 2 * p->all.across);
        const region from = conv->scale ? read_band(p, first, last) : p->whole;
        for (int tile = first; tile < last; tile++) {
            const float *pixels[RK_WINOGRAD_POSITIONS];
            find_pixels(p, &from, find_tile(p->all, tile), pixels);
            for (int c = 0; c < conv->in_channels; c += p->job.slice) {
                const int some = channels_from(&p->job, c), at = tile - start;
                p->job.kernels.input(v.first + block_offset(p, c, at / block), v.stride, at % block, pixels, some, conv->upsample);
                for (int i = 0; i < RK_WINOGRAD_POSITIONS; i++) pixels[i] += some;
            }
        }
    }
}

// `channels` of the weights of a group at u, times those of `count` tiles at v.
static void multiply(const pass *p, positions m, positions v, positions u, int panels, int channels, int count, int more) {
    const size_t block = block_floats(&p->job, channels);
    for (size_t i = 0; i < RK_WINOGRAD_POSITIONS; i++) {
        if (p->job.conv->upsample && (i / 6 == 2 || i % 6 == 2)) continue;
        p->job.kernels.multiply(m.first + i * m.stride, v.first + i * v.stride, block, u.first + i * u.stride, panels, channels, count, more);
    }
}

// The pixels of a group's channels from the products of the tiles first ..< first + count.
static void write_tiles(const pass *p, positions m, int panel, int panels, int first, int count) {
    const rk_conv_images *images = &p->images;
    for (int t = 0; t < count; t++) {
        const place tile = find_tile(p->all, first + t);
        float *pixels[STEP * STEP];
        const float *added[STEP * STEP];
        for (int i = 0; i < STEP * STEP; i++) {
            const int y = tile.y + i / STEP, x = tile.x + i % STEP;
            const size_t at = ((size_t)y * (size_t)images->out_width + (size_t)x) * images->out_stride + (size_t)panel * RK_PANEL;
            const int inside = y < images->out_height && x < images->out_width;
            pixels[i] = inside ? images->out + at : NULL;
            added[i] = inside && images->residual ? images->residual + at : NULL;
        }
        for (int n = 0; n < panels; n++, m = after(m, RK_PANEL)) {
            const float *bias = p->job.conv->bias ? p->job.conv->bias + (size_t)(panel + n) * RK_PANEL : NULL;
            p->job.kernels.output(pixels, images->residual ? added : NULL, m.first, m.stride, bias);
            for (int i = 0; i < STEP * STEP; i++) {
                if (pixels[i]) pixels[i] += RK_PANEL;
                if (added[i]) added[i] += RK_PANEL;
            }
        }
    }
}

// The weights of a group of panels for channels first ..< first + count.
static void transform_weights(const job *j, positions u, int panel, int panels, int first, int count) {
    const rk_matrix *weights = &j->conv->weights;
    const size_t bytes = rk_panel_bytes(weights->type, weights->columns);
    for (int n = 0; n < panels; n++, u = after(u, panel_floats(j, count))) {
        const void *from = (const char *)weights->data + bytes * (size_t)(panel + n);
        j->kernels.weights(u.first, u.stride, from, weights->type, j->conv->in_channels, first, count);
    }
}

static void run_by_panels(rk_worker *worker, const pass *p, int tiles) {
    const rk_conv *conv = p->job.conv;
    const int channels = conv->in_channels, block = p->job.kernels.block, most = p->job.kernels.panels, groups = group_count(&p->job);
    const int at_once = conv->scale ? tiles_in_band(conv) : 1, in_pass = p->blocks * block;
    const positions u = {p->private, slice_stride(&p->job)}, m = {end_of(u), products_stride(&p->job, TILES)};
    const positions v = {p->shared, input_stride(&p->job, p->blocks)};
    if (conv->upsample) clear(m);
    for (int start = 0; start < tiles; start += in_pass) {
        const int count = rk_min(in_pass, tiles - start);
        for (int chunk; (chunk = rk_next_chunk(worker, rk_divide_up(count, at_once))) >= 0;)
            read_tiles(p, v, start, start + chunk * at_once, start + rk_min(count, (chunk + 1) * at_once));
        rk_barrier(worker);

        // Enough chunks for every worker: where groups are few, each group's tiles are divided among several.
        const int ranges = rk_divide_up(count, TILES);
        const int parts = rk_min(ranges, rk_divide_up(4 * worker->count, groups)), part = rk_divide_up(ranges, parts) * TILES;
        for (int chunk; (chunk = rk_next_chunk(worker, groups * parts)) >= 0;) {
            const int panel = chunk / parts * most, panels = rk_min(most, panel_count(conv) - panel);
            const int begin = chunk % parts * part, end = rk_min(count, begin + part);
            for (int first = begin; first < end; first += TILES) {
                const int rows = rk_min(TILES, end - first);
                for (int c = 0; c < channels; c += p->job.slice) {
                    const int some = channels_from(&p->job, c);
                    const positions inputs = after(v, block_offset(p, c, first / block));
                    if (first == begin || channels > p->job.slice) transform_weights(&p->job, u, panel, panels, c, some);
                    multiply(p, m, inputs, u, panels, some, rows, c > 0);
                }
                write_tiles(p, m, panel, panels, start + first, rows);
            }
        }
        rk_barrier(worker);
    }
}

static void run_by_tiles(rk_worker *worker, const pass *p, int tiles) {
    const rk_conv *conv = p->job.conv;
    const int channels = conv->in_channels, most = p->job.kernels.panels, groups = group_count(&p->job), range = p->blocks * p->job.kernels.block;
    const int at_once = conv->scale ? tiles_in_band(conv) : range;
    const positions all_weights = {p->shared, weights_stride(&p->job)}, v = {p->private, input_stride(&p->job, p->blocks)};
    const positions m = {end_of(v), products_stride(&p->job, range)};
    if (conv->upsample) clear(m);
    for (int group; (group = rk_next_chunk(worker, groups)) >= 0;) {
        const int panel = group * most, panels = rk_min(most, panel_count(conv) - panel);
        positions u = after(all_weights, RK_WINOGRAD_POSITIONS * all_weights.stride * (size_t)group);
        for (int c = 0; c < channels; c += p->job.slice) {
            transform_weights(&p->job, u, panel, panels, c, channels_from(&p->job, c));
            u = after(u, (size_t)panels * panel_floats(&p->job, p->job.slice));
        }
    }
    rk_barrier(worker);
    for (int chunk; (chunk = rk_next_chunk(worker, rk_divide_up(tiles, range))) >= 0;) {
        const int start = chunk * range, end = rk_min(tiles, start + range);
        for (int first = start; first < end; first += at_once) read_tiles(p, v, start, first, rk_min(end, first + at_once));
        for (int group = 0; group < groups; group++) {
            positions u = after(all_weights, RK_WINOGRAD_POSITIONS * all_weights.stride * (size_t)group);
            const int panel = group * most, panels = rk_min(most, panel_count(conv) - panel);
            for (int c = 0; c < channels; c += p->job.slice) {
                multiply(p, m, after(v, block_offset(p, c, 0)), u, panels, channels_from(&p->job, c), end - start, c > 0);
                u = after(u, (size_t)panels * panel_floats(&p->job, p->job.slice));
            }
            write_tiles(p, m, panel, panels, start, end - start);
        }
    }
    rk_barrier(worker);
}

void rk_winograd_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const rk_conv_images *images, float *scratch) {
    const grid all = {rk_divide_up(images->out_width, STEP), rk_divide_up(images->out_height, STEP)};
    const rk_conv_kernels kernels = kernels_of(features, conv);
    const int tiles = all.across * all.down;
    const plan how = make_plan(conv, &kernels, rk_divide_up(tiles, kernels.block), worker->count);
    float *zeros = scratch, *shared = zeros + conv->in_channels;
    float *private = shared + how.layout.shared + (size_t)worker->index * (how.layout.private + band_floats(conv));
    const pass p = {
        .job = how.job, .norm = rk_norm_kernels_for(features), .images = *images, .whole = {.x = images->x, .zeros = zeros, .width = images->width},
        .all = all, .blocks = how.blocks, .shared = shared, .private = private, .band = private + how.layout.private,
    };
    if (worker->index == 0) memset(zeros, 0, (size_t)conv->in_channels * sizeof *zeros);
    rk_barrier(worker);
    if (how.by_tiles) run_by_tiles(worker, &p, tiles);
    else run_by_panels(worker, &p, tiles);
}
