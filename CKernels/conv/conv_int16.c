#include "conv.h"

// As in conv.c, but a worker makes each patch integers, in slices of their columns, and keeps them while the panels of a group pass, a few at a time.
enum { STEP = 24, SLICE = 2 * RK_INT16_SLICE }; // STEP is a multiple of every block

typedef struct layout {
    size_t patch, patches, weights, sums; // floats
} layout;

static int columns_from(const rk_conv *conv, int c) { return rk_min(SLICE, conv->weights.columns - c); }

// Where the slice that begins with column c starts, of so many blocks of pixels.
static size_t slice_offset(const rk_conv_kernels *kernels, int c, int blocks) {
    return rk_int16_block(kernels, SLICE) * (size_t)(c / SLICE) * (size_t)blocks;
}

static layout layout_for(const rk_conv *conv, const rk_conv_kernels *kernels, int pixels) {
    const int columns = conv->weights.columns, slices = rk_divide_up(columns, SLICE);
    return (layout){(size_t)columns, slice_offset(kernels, slices * SLICE, pixels / kernels->block),
                    rk_int16_panel(SLICE) * (size_t)kernels->panels, (size_t)(pixels * kernels->panels * RK_PANEL)};
}

static size_t floats_of(layout l) { return l.patch + l.patches + l.weights + l.sums; }

// Half of L2 may hold patches.
static int most_pixels(const rk_conv *conv) {
    const int fitting = (int)(rk_cpu_l2_bytes() / 2 / ((size_t)conv->weights.columns * sizeof(int16_t)));
    return rk_max(STEP, rk_min(RK_CONV_PIXELS, fitting) / STEP * STEP);
}

size_t rk_conv_int16_scratch(uint32_t features, const rk_conv *conv, int workers) {
    const rk_conv_kernels kernels = rk_conv_kernels_for(features, RK_CONV_INT16);
    return (size_t)workers * floats_of(layout_for(conv, &kernels, most_pixels(conv)));
}

// A convolution, and one worker's memory for it.
typedef struct pass {
    const rk_conv *conv;
    const rk_conv_images *images;
    rk_conv_kernels kernels;
    rk_norm_kernels norm;
    int blocks; // of pixels in a tile
    float *patch, *patches, *weights, *sums;
} pass;

// The patch of a pixel of the image, as that of pixel `at` of the tile.
static void read_patch(const pass *p, int at, int pixel) {
    const float *x = rk_conv_patch(p->conv, &p->norm, p->patch, p->images, pixel);
    const int block = p->kernels.block;
    for (int c = 0; c < p->conv->weights.columns; c += SLICE) {
        const int some = columns_from(p->conv, c);
        float *slice = p->patches + slice_offset(&p->kernels, c, p->blocks);
        p->kernels.patch(slice + rk_int16_block(&p->kernels, some) * (size_t)(at / block), at % block, x + c, some);
    }
}

// `panels` panels from `panel` on times the patches of `count` pixels.
static void multiply(const pass *p, int panel, int panels, int count) {
    const rk_matrix *matrix = &p->conv->weights;
    const size_t bytes = rk_panel_bytes(matrix->type, matrix->columns);
    for (int c = 0; c < matrix->columns; c += SLICE) {
        const int some = columns_from(p->conv, c);
        for (int n = 0; n < panels; n++) {
            const void *from = (const char *)matrix->data + bytes * (size_t)(panel + n);
            p->kernels.columns(p->weights + rk_int16_panel(some) * (size_t)n, from, matrix->type, c, some);
        }
        const float *slice = p->patches + slice_offset(&p->kernels, c, p->blocks);
        p->kernels.multiply(p->sums, slice, rk_int16_block(&p->kernels, some), p->weights, panels, some, count, c > 0);
    }
}

void rk_conv_int16_run(rk_worker *worker, uint32_t features, const rk_conv *conv, const rk_conv_images *images, float *scratch) {
    const rk_conv_kernels kernels = rk_conv_kernels_for(features, RK_CONV_INT16);
    const int panels = rk_divide_up(conv->weights.rows, RK_PANEL), groups = rk_divide_up(panels, RK_CONV_GROUP);
    const int pixels = images->out_height * images->out_width, tile = rk_conv_tile(pixels, groups, worker->count, most_pixels(conv), STEP);
    const int tiles = rk_divide_up(pixels, tile);
    const layout l = layout_for(conv, &kernels, tile);
    float *patch = scratch + (size_t)worker->index * floats_of(l), *patches = patch + l.patch, *weights = patches + l.patches;
    const pass p = {
        .conv = conv, .images = images, .kernels = kernels, .norm = rk_norm_kernels_for(features), .blocks = tile / kernels.block,
        .patch = patch, .patches = patches, .weights = weights, .sums = weights + l.weights,
    };

    for (int chunk; (chunk = rk_next_chunk(worker, tiles * groups)) >= 0;) {
        const int first = chunk % tiles * tile, count = rk_min(tile, pixels - first);
        const int group = chunk / tiles * RK_CONV_GROUP, end = rk_min(panels, group + RK_CONV_GROUP);
        for (int at = 0; at < count; at++) read_patch(&p, at, first + at);
        for (int panel = group, some; panel < end; panel += some) {
            some = rk_min(kernels.panels, end - panel);
            multiply(&p, panel, some, count);
            const size_t channel = (size_t)panel * RK_PANEL, at = (size_t)first * images->out_stride + channel;
            kernels.pixels(images->out + at, images->out_stride, images->residual ? images->residual + at : NULL, p.sums, some, count,
                           conv->bias ? conv->bias + channel : NULL);
        }
    }
    rk_barrier(worker);
}
