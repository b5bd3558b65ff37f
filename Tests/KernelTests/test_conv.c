#include <math.h>
#include <stdio.h>
#include <string.h>
#include "harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

// The 256-bit VNNI kernels in the encoding of AVX-512, for machines that have only that; see winograd_avxvnni_as_avx512.c.
extern const rk_conv_kernels test_winograd_avxvnni_as_avx512;

typedef struct shape {
    int height, width, in_channels, out_channels, kernel, stride, padding, upsample;
} shape;

static int out_side(const shape *s, int side) {
    // The encoder's stride-2 convolutions have one row and one column of zeros at the end only.
    return s->stride == 2 ? side / 2 : (s->upsample ? 2 * side : side);
}

typedef struct problem {
    shape shape;
    rk_conv conv;
    uint32_t features;
    float *x, *out, *scratch;
    float *read; // x as the convolution reads it: normalized where it says so
    const float *residual;
    size_t out_stride;
    int out_height, out_width;
} problem;

static void run_conv(void *context, rk_worker *worker) {
    problem *p = context;
    const rk_conv_images images = {
        .x = p->x, .height = p->shape.height, .width = p->shape.width,
        .out = p->out, .out_height = p->out_height, .out_width = p->out_width, .out_stride = p->out_stride, .residual = p->residual,
    };
    rk_conv_run(worker, p->features, &p->conv, &images, p->scratch);
}

static void run_whole_conv(void *context, rk_worker *worker) {
    run_conv(context, worker);
    test_step_ended(worker);
}

static float weight_at(const rk_matrix *w, int row, int column) {
    size_t at = ((size_t)(row / RK_PANEL) * (size_t)w->columns + (size_t)column) * RK_PANEL + (size_t)(row % RK_PANEL);
    return w->type == RK_F16 ? rk_f16_to_f32(((const rk_f16 *)w->data)[at]) : ((const float *)w->data)[at];
}

// The channels that are read for a pixel, NULL outside the image.
static const float *pixel_at(const problem *p, int y, int x) {
    const shape *s = &p->shape;
    if (y < 0 || y >= s->height << s->upsample || x < 0 || x >= s->width << s->upsample) return NULL;
    return p->read + ((size_t)(y >> s->upsample) * (size_t)s->width + (size_t)(x >> s->upsample)) * (size_t)s->in_channels;
}

// The definition: a direct loop. *magnitude: the sum of the magnitudes of what is added up.
static float convolved(const problem *p, int oy, int ox, int row, double *magnitude) {
    const shape *s = &p->shape;
    const float bias = p->conv.bias ? p->conv.bias[row] : 0;
    float sum = 0;
    int column = 0;
    *magnitude = fabs(bias);
    for (int ky = 0; ky < s->kernel; ky++) {
        for (int kx = 0; kx < s->kernel; kx++) {
            const float *pixel = pixel_at(p, oy * s->stride + ky - s->padding, ox * s->stride + kx - s->padding);
            for (int c = 0; c < s->in_channels; c++, column++) {
                const float weight = weight_at(&p->conv.weights, row, column), x = pixel ? pixel[c] : 0;
                sum = fmaf(weight, x, sum);
                *magnitude += fabs((double)weight * x);
            }
        }
    }
    return sum + bias;
}

// Numbers of a pattern; `one`, if it is not 0, stands in place of one of the first sixteen elements of each row of a panel.
typedef struct filling {
    test_pattern pattern;
    float limit, one;
} filling;

static size_t place_of_one(size_t row) { return row * RK_PANEL + row; }

static void fill_floats(float *values, size_t count, filling f) {
    test_fill_floats(values, count, f.pattern, f.limit);
    for (size_t row = 0; f.one != 0 && row < RK_PANEL && place_of_one(row) < count; row++) values[place_of_one(row)] = f.one;
}

static void fill_f16(rk_f16 *values, size_t count, filling f) {
    test_fill_f16(values, count, f.pattern, f.limit);
    for (size_t row = 0; f.one != 0 && row < RK_PANEL && place_of_one(row) < count; row++) values[place_of_one(row)] = rk_f16_from_f32(f.one);
}

// What a convolution is tried with; no definition: something is or becomes infinite or no number.
typedef struct operands {
    const char *name;
    filling x, weights;
    int no_definition;
} operands;

static const operands random_operands = {"random", {TEST_RANDOM, 1, 0}, {TEST_RANDOM, 1, 0}, 0};

enum { RESIDUAL_NONE, RESIDUAL_OTHER, RESIDUAL_IN_PLACE };

static problem make_problem(const shape *s, rk_type type, int normalized, const operands *with) {
    problem p = {.shape = *s, .out_height = out_side(s, s->height), .out_width = out_side(s, s->width)};
    const int columns = s->kernel * s->kernel * s->in_channels, padded = (s->out_channels + 15) / 16 * 16;
    const size_t pixels = (size_t)s->height * (size_t)s->width * (size_t)s->in_channels;
    const size_t count = (size_t)padded * (size_t)columns;
    p.x = test_alloc(pixels * sizeof *p.x, sizeof *p.x);
    fill_floats(p.x, pixels, with->x);
    void *weights = test_alloc(count * (type == RK_F16 ? 2 : 4), 64);
    if (type == RK_F16) {
        fill_f16(weights, count, with->weights);
    } else {
        fill_floats(weights, count, with->weights);
    }
    float *bias = test_alloc((size_t)padded * sizeof *bias, 64), *scale = NULL;
    test_fill_floats(bias, (size_t)padded, TEST_RANDOM, 1);
    if (normalized) { // scales, then shifts
        scale = test_alloc(2 * (size_t)s->in_channels * sizeof *scale, sizeof *scale);
        test_fill_floats(scale, 2 * (size_t)s->in_channels, TEST_RANDOM, 1);
    }
    p.read = p.x;
    if (normalized) {
        p.read = test_alloc(pixels * sizeof *p.read, sizeof *p.read);
        rk_norm_kernels_for(0).scale_shift(p.read, p.x, scale, scale + s->in_channels, s->height * s->width, s->in_channels, 1);
    }
    const rk_matrix matrix = {.data = weights, .type = type, .rows = s->out_channels, .columns = columns};
    p.conv = (rk_conv){matrix, bias, s->kernel, s->stride, s->padding, s->upsample, s->in_channels, scale,
                       normalized ? scale + s->in_channels : NULL, 0};
    return p;
}

static void free_problem(problem *p, const float *bias) {
    if (p->read != p->x) test_free(p->read);
    test_free(p->x), test_free((void *)p->conv.weights.data), test_free((void *)bias);
    if (p->conv.scale) test_free((void *)p->conv.scale);
}

// What lies between pixels stays as it is.
enum { UNTOUCHED = 0xc5 };

static void fill_gaps(const problem *p, int gap) {
    for (int i = 0; i < p->out_height * p->out_width; i++)
        memset(p->out + (size_t)(i + 1) * p->out_stride - gap, UNTOUCHED, (size_t)gap * sizeof *p->out);
}

static void test_gaps(const problem *p, int gap) {
    int untouched = 1;
    for (int i = 0; i < p->out_height * p->out_width; i++) {
        const unsigned char *bytes = (const unsigned char *)(p->out + (size_t)(i + 1) * p->out_stride - gap);
        for (size_t b = 0; b < (size_t)gap * sizeof *p->out; b++) untouched &= bytes[b] == UNTOUCHED;
    }
    test_expect(untouched, "wrote between pixels");
}

static void test_shape(const shape *s, rk_type type, int gap, int residual, int with_bias, int normalized) {
    problem p = make_problem(s, type, normalized, &random_operands);
    const float *bias = p.conv.bias;
    p.conv.bias = with_bias ? bias : NULL;
    p.out_stride = (size_t)((s->out_channels + 15) / 16 * 16 + gap);
    const size_t pixels = (size_t)p.out_height * (size_t)p.out_width, used = pixels * p.out_stride;
    float *added = test_alloc(used * sizeof *added, sizeof *added), *expected = test_alloc(used * sizeof *added, sizeof *added);
    test_fill_floats(added, used, TEST_RANDOM, 1);
    for (size_t i = 0; i < pixels; i++) {
        for (int r = 0; r < s->out_channels; r++) {
            double magnitude;
            float v = convolved(&p, (int)i / p.out_width, (int)i % p.out_width, r, &magnitude);
            expected[i * p.out_stride + (size_t)r] = residual ? v + added[i * p.out_stride + (size_t)r] : v;
        }
    }
    for (int isa = 0; isa < test_isa_count; isa++) {
        for (int threads = 1; threads <= 3; threads += 1 + (isa > 0)) {
            p.features = test_isas[isa].features;
            p.out = test_alloc(used * sizeof *p.out, 64);
            p.scratch = test_alloc(rk_conv_scratch(p.features, &p.conv, threads) * sizeof *p.scratch, 64);
            p.residual = residual == RESIDUAL_NONE ? NULL : residual == RESIDUAL_OTHER ? added : p.out;
            if (residual == RESIDUAL_IN_PLACE) {
                memcpy(p.out, added, used * sizeof *added);
            }
            fill_gaps(&p, gap);
            test_begin("conv", type == RK_F16 ? "f16" : "f32", test_isas[isa].name,
                       "%d x %d x %d to %d, kernel %d, stride %d, padding %d, upsample %d, gap %d, residual %d, bias %d, normalized %d, %d threads",
                       s->height, s->width, s->in_channels, s->out_channels, s->kernel, s->stride, s->padding, s->upsample, gap,
                       residual, with_bias, normalized, threads);
            rk_parallel(threads, run_whole_conv, &p);
            int equal = 1;
            for (size_t i = 0; i < pixels && equal; i++) {
                equal = test_equal_floats(expected + i * p.out_stride, p.out + i * p.out_stride, (size_t)s->out_channels);
            }
            test_gaps(&p, gap);
            test_guards(p.out);
            test_guards(p.scratch);
            test_free(p.out), test_free(p.scratch);
        }
    }
    test_free(added), test_free(expected);
    free_problem(&p, bias);
}

// The slots of Winograd's transform against the scalar ones.
typedef struct slots {
    const rk_conv_kernels *kernels[2]; // scalar, and those that are tested
    const char *isa, *pattern;
    filling fill;
} slots;

static int is_finite(filling f) { return isfinite(f.limit) && isfinite(f.one); }

static const char *numbers(const slots *s) { return s->kernels[0]->slice ? "int16" : "f32"; }

static void test_winograd_weights(const slots *s, const void *panel, rk_type type, int channels, int first, int count) {
    const size_t n = (size_t)count * RK_PANEL, floats = s->kernels[0]->slice ? RK_PANEL + n / 2 : n;
    const size_t stride = floats + 5, used = (RK_WINOGRAD_POSITIONS - 1) * stride + floats;
    float *u[2];
    test_begin("winograd", "weights", s->isa, "%s of %s, %d channels, %d from %d, %s", numbers(s), type == RK_F32 ? "f32" : "f16", channels, count,
               first, s->pattern);
    for (int k = 0; k < 2; k++) {
        u[k] = test_alloc(used * sizeof *u[k], sizeof *u[k]);
        s->kernels[k]->weights(u[k], stride, panel, type, channels, first, count);
        test_guards(u[k]);
    }
    for (size_t i = 0; i < RK_WINOGRAD_POSITIONS; i++) {
        // Factors or all, then integers, and what lies between two positions and is left as it is.
        const size_t at = i * stride, then = at + (s->kernels[0]->slice ? RK_PANEL : floats), end = at + stride < used ? at + stride : used;
        if (!test_equal_floats(u[0] + at, u[1] + at, then - at)) break;
        if (end > then && !test_equal_bytes(u[0] + then, u[1] + then, (end - then) * sizeof *u[0])) break;
    }
    test_free(u[0]), test_free(u[1]);
}

// Floats of a block of tiles.
static size_t block_floats(const rk_conv_kernels *kernels, int channels) {
    const size_t numbers = (size_t)(channels * kernels->block);
    return kernels->slice ? numbers / 2 + (size_t)kernels->block : numbers;
}

static size_t in_block(const rk_conv_kernels *kernels, int t, int c) {
    const int line = kernels->slice ? 32 : 16;
    return (size_t)(c / line * line * kernels->block + t * line + c % line);
}

// Channel c of tile t of a block, with integers the integer.
static float channel_of(const rk_conv_kernels *kernels, const float *block, int t, int c) {
    const size_t at = in_block(kernels, t, c);
    int16_t integer;
    if (!kernels->slice) return block[at];
    memcpy(&integer, (const char *)block + at * sizeof integer, sizeof integer);
    return integer;
}

// Transformed channels of one tile, position after position, then of each position the factor of its products.
static float *transformed(const rk_conv_kernels *kernels, const float *const tile[RK_WINOGRAD_POSITIONS], int channels, int upsampled) {
    const int t = kernels->block - 1;
    const size_t floats = block_floats(kernels, channels), stride = floats + 3, used = (RK_WINOGRAD_POSITIONS - 1) * stride + floats;
    float *v = test_alloc(used * sizeof *v, sizeof *v);
    memset(v, 0, used * sizeof *v);
    kernels->input(v, stride, t, tile, channels, upsampled);
    test_guards(v);
    float *result = test_alloc((size_t)(RK_WINOGRAD_POSITIONS * (channels + 1)) * sizeof *result, sizeof *result), *to = result;
    for (size_t i = 0; i < RK_WINOGRAD_POSITIONS; i++)
        for (int c = 0; c < channels; c++) *to++ = channel_of(kernels, v + i * stride, t, c);
    for (size_t i = 0; i < RK_WINOGRAD_POSITIONS; i++) *to++ = kernels->slice ? v[i * stride + floats - 1] : 1;
    test_free(v);
    return result;
}

static void test_winograd_input(const slots *s, const float *pixels, int channels, int upsampled) {
    const float *tile[RK_WINOGRAD_POSITIONS];
    for (int p = 0; p < RK_WINOGRAD_POSITIONS; p++) {
        const int y = p / 6, x = p % 6, from = upsampled ? (y + 1) / 2 * 6 + (x + 1) / 2 : p * 5 % RK_WINOGRAD_POSITIONS;
        tile[p] = pixels + (size_t)from * (size_t)channels;
    }
    test_begin("winograd", "input", s->isa, "%s, %d channels, upsampled %d, %s", numbers(s), channels, upsampled, s->pattern);
    float *expected = transformed(s->kernels[0], tile, channels, upsampled), *v = transformed(s->kernels[1], tile, channels, upsampled);
    test_equal_floats(expected, v, (size_t)(RK_WINOGRAD_POSITIONS * (channels + 1)));
    if (upsampled && is_finite(s->fill)) { // what is left out is 0
        float *all = transformed(s->kernels[1], tile, channels, 0);
        int zero = 1, equal = 1;
        for (int i = 0; i < RK_WINOGRAD_POSITIONS; i++) {
            for (int c = 0; c < channels; c++) {
                const int at = i * channels + c;
                if (i / 6 == 2 || i % 6 == 2) zero &= all[at] == 0;
                else equal &= memcmp(all + at, v + at, sizeof *all) == 0;
            }
        }
        test_expect(zero && equal, "not what the whole transform gives");
        test_free(all);
    }
    test_free(expected), test_free(v);
}

// Numbers of a block, or integers whose products do not overflow a sum, or what is infinite, and the factors of tiles.
static void fill_blocks(const slots *s, const rk_conv_kernels *kernels, float *v, size_t stride, const float *floats, int channels, int tiles) {
    for (int t = 0; t < tiles; t++) {
        float *block = v + (size_t)(t / kernels->block) * stride;
        for (int c = 0; c < channels; c++) {
            const size_t at = in_block(kernels, t % kernels->block, c);
            const int16_t integer = is_finite(s->fill) ? (int16_t)((c * 977 + t * 4111) % 4001 - 2000) : INT16_MIN;
            if (!kernels->slice) block[at] = floats[c + t];
            else memcpy((char *)block + at * sizeof integer, &integer, sizeof integer);
        }
        if (kernels->slice) block[channels * kernels->block / 2 + t % kernels->block] = floats[t];
    }
}

static void test_winograd_multiply(const slots *s, const float *floats, const float *u, int panels, int channels, int tiles, int more) {
    const size_t n = (size_t)tiles * (size_t)panels * RK_PANEL;
    float *m[2];
    test_begin("winograd", "multiply", s->isa, "%s, %d panels, %d channels, %d tiles, more %d, %s", numbers(s), panels, channels, tiles, more,
               s->pattern);
    for (int k = 0; k < 2; k++) {
        const rk_conv_kernels *kernels = s->kernels[k];
        const int blocks = (tiles + kernels->block - 1) / kernels->block;
        const size_t stride = block_floats(kernels, channels) + 16, used = (size_t)blocks * stride;
        float *v = test_alloc(used * sizeof *v, 64);
        memset(v, 0, used * sizeof *v);
        fill_blocks(s, kernels, v, stride, floats, channels, tiles);
        m[k] = test_alloc(n * sizeof *m[k], sizeof *m[k]);
        if (more) memcpy(m[k], floats, n * sizeof *m[k]);
        kernels->multiply(m[k], v, stride, u, panels, channels, tiles, more);
        test_guards(m[k]);
        test_free(v);
    }
    test_equal_floats(m[0], m[1], n);
    test_free(m[0]), test_free(m[1]);
}

static void test_int16_columns(const slots *s, const void *panel, rk_type type, int first, int count) {
    const size_t used = RK_PANEL + (size_t)count / 2 * RK_PANEL;
    float *u[2];
    test_begin("int16", "columns", s->isa, "%s, %d from %d, %s", type == RK_F32 ? "f32" : "f16", count, first, s->pattern);
    for (int k = 0; k < 2; k++) {
        u[k] = test_alloc(used * sizeof *u[k], sizeof *u[k]);
        s->kernels[k]->columns(u[k], panel, type, first, count);
        test_guards(u[k]);
    }
    if (test_equal_floats(u[0], u[1], RK_PANEL)) test_equal_bytes(u[0] + RK_PANEL, u[1] + RK_PANEL, (used - RK_PANEL) * sizeof *u[0]);
    test_free(u[0]), test_free(u[1]);
}

static void test_int16_patch(const slots *s, const float *x, int columns) {
    test_begin("int16", "patch", s->isa, "%d columns, %s", columns, s->pattern);
    float *v[2], *values[2];
    for (int k = 0; k < 2; k++) {
        const rk_conv_kernels *kernels = s->kernels[k];
        const int t = kernels->block / 2;
        const size_t floats = block_floats(kernels, columns);
        v[k] = test_alloc(floats * sizeof *v[k], sizeof *v[k]);
        values[k] = test_alloc((size_t)(columns + 1) * sizeof *values[k], sizeof *values[k]);
        kernels->patch(v[k], t, x, columns);
        test_guards(v[k]);
        for (int c = 0; c < columns; c++) values[k][c] = channel_of(kernels, v[k], t, c);
        values[k][columns] = v[k][columns * kernels->block / 2 + t];
    }
    test_equal_floats(values[0], values[1], (size_t)columns + 1);
    for (int k = 0; k < 2; k++) test_free(v[k]), test_free(values[k]);
}

static void test_int16_pixels(const slots *s, const float *m, const float *bias, const float *added, int panels, int count) {
    const size_t stride = (size_t)panels * RK_PANEL + 3, used = (size_t)(count - 1) * stride + (size_t)panels * RK_PANEL;
    float *out[2];
    test_begin("int16", "pixels", s->isa, "%d panels, %d pixels, bias %d, residual %d, %s", panels, count, bias != NULL, added != NULL, s->pattern);
    for (int k = 0; k < 2; k++) {
        out[k] = test_alloc(used * sizeof *out[k], sizeof *out[k]);
        s->kernels[k]->pixels(out[k], stride, added, m, panels, count, bias);
        test_guards(out[k]);
    }
    test_equal_floats(out[0], out[1], used);
    test_free(out[0]), test_free(out[1]);
}

// With a bias, with pixels outside and something to add.
static void test_winograd_output(const slots *s, const float *m, const float *bias, const float *old, int with_bias, int with_old) {
    float *out[2];
    test_begin("winograd", "output", s->isa, "bias %d, residual %d, %s", with_bias, with_old, s->pattern);
    for (int k = 0; k < 2; k++) {
        out[k] = test_alloc(16 * RK_PANEL * sizeof *out[k], sizeof *out[k]);
        float *to[16];
        const float *added[16];
        for (int p = 0; p < 16; p++) {
            to[p] = with_old && p % 4 == 3 ? NULL : out[k] + p * RK_PANEL;
            added[p] = to[p] ? old + p * RK_PANEL : NULL;
        }
        s->kernels[k]->output(to, with_old ? added : NULL, m, RK_PANEL, with_bias ? bias : NULL);
        test_guards(out[k]);
    }
    test_equal_floats(out[0], out[1], 16 * RK_PANEL);
    test_free(out[0]), test_free(out[1]);
}

// In thirty-twos those of integers, else those of floats.
static void test_winograd_slots(int channels) {
    // Squares of the tiny ones are below RK_INT16_LEAST, of those about it some sums, of the huge ones none is finite. Four times the square of the
    // large ones is more than those of all others.
    const struct {
        const char *name;
        filling fill;
    } inputs[] = {
        {"zero", {TEST_ZERO, 1e3f, 0}},         {"low", {TEST_LOW, 1e3f, 0}},             {"high", {TEST_HIGH, 1e3f, 0}},
        {"random", {TEST_RANDOM, 1e3f, 0}},     {"alternating", {TEST_ALTERNATING, 1e3f, 0}}, {"one is large", {TEST_RANDOM, 1, 1e3f}},
        {"one is NaN", {TEST_RANDOM, 1, NAN}},  {"one is infinite", {TEST_RANDOM, 1, INFINITY}}, {"infinite", {TEST_HIGH, INFINITY, 0}},
        {"denormal", {TEST_RANDOM, 1e-40f, 0}}, {"tiny", {TEST_RANDOM, 1e-15f, 0}},       {"about the least", {TEST_RANDOM, 4e-14f, 0}},
        {"huge", {TEST_RANDOM, 1e20f, 0}},
    };
    enum { MOST_TILES = 39, MOST_PANELS = 3 }; // more than two blocks of any kernel
    const size_t n = (size_t)channels, panel = n * RK_PANEL, count = 9 * panel + MOST_TILES * RK_PANEL;
    const rk_conv_algorithm algorithm = channels % 32 ? RK_CONV_WINOGRAD : RK_CONV_INT16;
    struct {
        const char *name;
        rk_conv_kernels kernels;
    } tested[COUNT(test_isas) + 1];
    size_t kinds = 0;
    for (int isa = 1; isa < test_isa_count; isa++) {
        const rk_conv_kernels kernels = rk_conv_kernels_for(test_isas[isa].features, algorithm);
        if (kernels.multiply == rk_conv_kernels_for(test_isas[isa - 1].features, algorithm).multiply) continue;
        tested[kinds].name = test_isas[isa].name, tested[kinds++].kernels = kernels;
    }
#if defined(__x86_64__)
    if (algorithm == RK_CONV_INT16 && test_isas[test_isa_count - 1].features & RK_CPU_AVX512)
        tested[kinds].name = test_winograd_avxvnni_as_avx512.name, tested[kinds++].kernels = test_winograd_avxvnni_as_avx512;
#endif
    const rk_conv_kernels scalar = rk_conv_kernels_for(0, algorithm);
    float *floats = test_alloc(count * sizeof *floats, 64);
    float *bias = test_alloc(2 * RK_PANEL * sizeof *bias, 64), *old = test_alloc(16 * RK_PANEL * sizeof *old, sizeof *old);
    rk_f16 *f16 = test_alloc(9 * panel * sizeof *f16, 64);
    // Weights as integers: for each panel the factors of its rows, and what does not overflow a sum, or does times what is infinite.
    const size_t of_panel = RK_PANEL + panel / 2;
    float *integers = test_alloc(MOST_PANELS * of_panel * sizeof *integers, 64);
    for (size_t input = 0; input < COUNT(inputs); input++) {
        const filling fill = inputs[input].fill;
        for (size_t p = 0; p < MOST_PANELS; p++) {
            test_fill_floats(integers + p * of_panel, RK_PANEL, TEST_RANDOM, 1);
            for (size_t i = 0; i < panel; i++) {
                const int16_t w = is_finite(fill) ? (int16_t)((i * 7919 + p * 31) % 8001 - 4000) : 2500;
                memcpy((char *)(integers + p * of_panel + RK_PANEL) + i * sizeof w, &w, sizeof w);
            }
        }
        fill_floats(floats, count, fill);
        fill_f16(f16, 9 * panel, fill);
        test_fill_floats(bias, 2 * RK_PANEL, TEST_RANDOM, 1e3f);
        test_fill_floats(old, 16 * RK_PANEL, TEST_RANDOM, 1e3f);
        for (size_t kind = 0; kind < kinds; kind++) {
            const rk_conv_kernels kernels = tested[kind].kernels;
            const slots s = {{&scalar, &kernels}, tested[kind].name, inputs[input].name, fill};
            test_winograd_weights(&s, floats, RK_F32, channels, 0, channels);
            test_winograd_weights(&s, f16, RK_F16, channels, 0, channels);
            test_winograd_weights(&s, f16, RK_F16, channels, channels / 3, channels / 2);
            test_winograd_input(&s, floats, channels, 0);
            test_winograd_input(&s, floats, channels, 1);
            for (int panels = 1; panels <= kernels.panels; panels++) {
                for (int tiles = 1; tiles <= MOST_TILES; tiles++)
                    test_winograd_multiply(&s, floats, scalar.slice ? integers : floats + n, panels, channels, tiles, tiles % 2);
            }
            for (int how = 0; how < 4; how++) test_winograd_output(&s, floats, bias, old, how & 1, how >> 1);
            for (int columns = 32; scalar.slice && columns <= 2 * RK_INT16_SLICE && columns <= 9 * channels; columns += 32) {
                test_int16_columns(&s, floats, RK_F32, 0, columns);
                test_int16_columns(&s, f16, RK_F16, 9 * channels - columns, columns);
                test_int16_patch(&s, floats, columns);
            }
            for (int how = 0; scalar.slice && how < 4; how++)
                test_int16_pixels(&s, floats, how & 1 ? bias : NULL, how & 2 ? floats + 64 : NULL, 1 + how % 2, 7 - how);
        }
    }
    test_free(floats), test_free(f16), test_free(bias), test_free(old), test_free(integers);
}

// What the roundings of a convolution's integers come to. x rounded to d times an integer and weights to e times one are off by up to d / 2 and e / 2
// each, so a sum of n products by up to sqrt(n) / 2 (d |w| + e |x|) + n / 4 d e, by Cauchy and Schwarz, |x| and |w| the norms of what is multiplied.
// Where roundings are independent the variance of its error is (d^2 |w|^2 + e^2 |x|^2 + n d^2 e^2) / 12. Of Winograd's transform each of the 36
// positions has its own; an output adds them up times A.
enum { MOST_SLICES = 16 };

// Of one place, the pixels of a tile or patch, or of one row of weights: squares of the norms of what is multiplied at each position; and of weights
// what their integers are scaled by.
typedef struct norms {
    double squares[RK_WINOGRAD_POSITIONS][MOST_SLICES], scaled[MOST_SLICES];
} norms;

typedef struct rounding {
    double most, variance;
} rounding;

static void transform(double *to, const double *from, const double *matrix, int columns) { // to[6][6] = matrix * from * its transpose
    double half[6][6];
    for (int i = 0; i < 6; i++) {
        for (int x = 0; x < columns; x++) {
            half[i][x] = 0;
            for (int y = 0; y < columns; y++) half[i][x] += matrix[i * columns + y] * from[y * columns + x];
        }
    }
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 6; j++) {
            to[6 * i + j] = 0;
            for (int x = 0; x < columns; x++) to[6 * i + j] += half[i][x] * matrix[j * columns + x];
        }
    }
}

static int slice_of(const rk_conv *conv) { return rk_conv_is_winograd(conv) ? RK_INT16_SLICE : 2 * RK_INT16_SLICE; }

static void measure_place(const problem *p, int oy, int ox, norms *n) {
    static const double b[6][6] = {{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                   {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
    const shape *s = &p->shape;
    const int winograd = rk_conv_is_winograd(&p->conv), side = winograd ? RK_WINOGRAD_IN : s->kernel, slice = slice_of(&p->conv);
    const float *pixels[RK_WINOGRAD_POSITIONS];
    for (int i = 0; i < side * side; i++) pixels[i] = pixel_at(p, oy * s->stride + i / side - s->padding, ox * s->stride + i % side - s->padding);
    memset(n, 0, sizeof *n);
    for (int c = 0; c < s->in_channels; c++) {
        double x[RK_WINOGRAD_POSITIONS], v[RK_WINOGRAD_POSITIONS];
        for (int i = 0; i < side * side; i++) x[i] = pixels[i] ? (double)pixels[i][c] : 0;
        if (winograd) transform(v, x, b[0], 6);
        for (int i = 0; i < side * side; i++) {
            if (winograd) n->squares[i][c / slice] += v[i] * v[i];
            else n->squares[0][(i * s->in_channels + c) / slice] += x[i] * x[i];
        }
    }
}

static const double rows_of_g[6][3] = {{1 / 4.0, 0, 0}, {-1 / 6.0, -1 / 6.0, -1 / 6.0}, {-1 / 6.0, 1 / 6.0, -1 / 6.0},
                                       {1 / 24.0, 1 / 12.0, 1 / 6.0}, {1 / 24.0, -1 / 12.0, 1 / 6.0}, {0, 0, 1}};

static void measure_weights(const problem *p, int row, norms *n) {
    const shape *s = &p->shape;
    const int winograd = rk_conv_is_winograd(&p->conv), taps = winograd ? 9 : 1, slice = slice_of(&p->conv);
    const int channels = winograd ? s->in_channels : p->conv.weights.columns;
    double most[MOST_SLICES] = {0};
    memset(n, 0, sizeof *n);
    for (int c = 0; c < channels; c++) {
        double g[9], u[RK_WINOGRAD_POSITIONS], e = 0;
        for (int tap = 0; tap < taps; tap++) {
            g[tap] = (double)weight_at(&p->conv.weights, row, tap * channels + c);
            e += g[tap] * g[tap];
        }
        if (winograd) transform(u, g, rows_of_g[0], 3);
        for (int i = 0; i < (winograd ? RK_WINOGRAD_POSITIONS : 1); i++) n->squares[i][c / slice] += winograd ? u[i] * u[i] : e;
        n->scaled[c / slice] += e;
        most[c / slice] = fmax(most[c / slice], e);
    }
    for (int i = 0; i < MOST_SLICES; i++) n->scaled[i] = fmax(n->scaled[i], 4 * most[i]);
}

// Below RK_INT16_LEAST all of it is lost.
static double step_of(double squares, double norm, int n) { return sqrt(squares) * (squares < 1.001 * RK_INT16_LEAST ? 2 / sqrt(n) : 1 / norm); }

// Of the output y, x of a tile; 0, 0 of a patch.
static rounding rounding_of(const problem *p, const norms *place, const norms *row, int y, int x) {
    static const double a[4][6] = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
    const int winograd = rk_conv_is_winograd(&p->conv), slice = slice_of(&p->conv);
    const int channels = winograd ? p->shape.in_channels : p->conv.weights.columns;
    rounding sum = {0, 0};
    for (int i = 0; i < (winograd ? RK_WINOGRAD_POSITIONS : 1); i++) {
        const double times = winograd ? a[y][i / 6] * a[x][i % 6] : 1;
        double k = 1, repeated = 1;
        for (int axis = 0; winograd && axis < 2; axis++) {
            const int at = axis ? i % 6 : i / 6;
            const double *g = rows_of_g[at];
            k *= sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
            // Of doubled pixels a b b c c d the transformed ones 3 and 4 are 3 (c - b) and b - c: the same integers, rounded alike.
            if (p->conv.upsample && (at == 3 || at == 4)) repeated *= 2;
        }
        for (int c = 0; c < channels && times != 0; c += slice) {
            const double n = fmin(slice, channels - c), v = place->squares[i][c / slice], w = row->squares[i][c / slice];
            const double d = step_of(v, RK_INT16_X_NORM, (int)n), e = k * step_of(row->scaled[c / slice], RK_INT16_WEIGHT_NORM, (int)n);
            sum.most += fabs(times) * (sqrt(n) / 2 * (d * sqrt(w) + e * sqrt(v)) + n / 4 * d * e);
            sum.variance += times * times * (repeated * d * d * w + e * e * v + n * d * d * e * e) / 12;
        }
    }
    return sum;
}

// How close a fast convolution is to the definition, of the largest sum of an output's magnitudes where it is not the integers' roundings: at the
// borders transforms mix in what is not added up there.
//
// The three transforms together enlarge a rounding by at most 48 in each direction, the sum of |A| |B| |G| in the worst row (1 1 1 8 8 1):
// 5 + 5 + 8 * 1.75 + 8 * 1.75 + 10. All of it in one direction and as little in the other is allowed.
//
// Integers of random numbers are rounded independently, but for repeated ones, of which two together have at most the variance of four; and a sum of
// even distributions is 8 of its standard deviations off less than once in 10^13. Measured: up to 0.2 of the bound, of random numbers, and 0.84, of
// equal ones; up to 0.61 of 8 deviations; root mean squares of 0.77 to 1.07 of one.
static void test_errors(const problem *p, const float *added, const operands *with) {
    const int integers = rk_conv_is_int16(&p->conv), side = rk_conv_is_winograd(&p->conv) ? RK_WINOGRAD_OUT : 1, rows = p->shape.out_channels;
    const int count = p->out_height * p->out_width * rows;
    double largest = 0, worst = 0, tail = 0, squares = 0, errors = 0, variances = 0;
    float *definition = test_alloc((size_t)count * sizeof *definition, sizeof *definition);
    norms *weights = test_alloc((size_t)rows * sizeof *weights, 64), place;
    for (int i = 0; i < count; i++) {
        const int pixel = i / rows;
        const float more = added ? added[(size_t)pixel * p->out_stride + (size_t)(i % rows)] : 0;
        double magnitude;
        definition[i] = convolved(p, pixel / p->out_width, pixel % p->out_width, i % rows, &magnitude) + more;
        largest = fmax(largest, magnitude + fabs(more));
    }
    for (int r = 0; r < rows; r++) measure_weights(p, r, &weights[r]);
    for (int tile = 0; tile < ((p->out_height + side - 1) / side) * ((p->out_width + side - 1) / side); tile++) {
        const int across = (p->out_width + side - 1) / side, ty = tile / across * side, tx = tile % across * side;
        if (integers) measure_place(p, ty, tx, &place);
        for (int i = 0; i < side * side * rows; i++) {
            const int dy = i / rows / side, dx = i / rows % side, r = i % rows, at = (ty + dy) * p->out_width + tx + dx;
            if (ty + dy >= p->out_height || tx + dx >= p->out_width) continue;
            const rounding off = integers ? rounding_of(p, &place, &weights[r], dy, dx) : (rounding){0, 0};
            const double v = (double)definition[at * rows + r], error = fabs(v - (double)p->out[(size_t)at * p->out_stride + (size_t)r]);
            const double floats = 48 * 0x1p-24 * largest;
            test_worst(&worst, error / (floats + off.most));
            test_worst(&tail, error / (floats + 8 * sqrt(off.variance)));
            squares += v * v, errors += error * error, variances += off.variance;
        }
    }
    test_expect(worst < 1, "error %g times the bound", worst);
    if (with == &random_operands) // Roundings mostly cancel out.
        test_expect(errors < squares * 0x1p-16, "root mean square off by 2^%.1f, expected less than 2^-8", log2(errors / squares) / 2);
    if (integers && with->x.pattern == TEST_RANDOM && with->weights.pattern == TEST_RANDOM) {
        test_expect(tail < 1, "error %g times 8 deviations", tail);
        if (count > 1000) test_expect(errors < 1.2 * variances, "root mean square off by %g deviations", sqrt(errors / variances));
    }
    test_free(definition), test_free(weights);
}

// A fast convolution: the same bits for every instruction set, number of threads and size of cache, and close to the definition.
static void test_fast(const shape *s, rk_type type, rk_conv_algorithm algorithm, int residual, int normalized, const operands *with) {
    enum { GAP = 5 };
    problem p = make_problem(s, type, normalized, with);
    const float *bias = p.conv.bias;
    p.conv.algorithm = algorithm;
    p.out_stride = (size_t)((s->out_channels + 15) / 16 * 16 + GAP);
    const size_t pixels = (size_t)p.out_height * (size_t)p.out_width, used = pixels * p.out_stride;
    float *added = test_alloc(used * sizeof *added, sizeof *added), *expected = NULL;
    test_fill_floats(added, used, TEST_RANDOM, 1);
    for (int isa = 0; isa < test_isa_count; isa++) {
        for (int variant = 0; variant < 4; variant++) {
            const int threads = variant == 0 ? 1 : variant; // 1, 1, 2, 3
            rk_cpu_set_l2_bytes(variant % 2 ? 4 << 20 : 0);
            p.features = test_isas[isa].features;
            p.out = test_alloc(used * sizeof *p.out, 64);
            p.scratch = test_alloc(rk_conv_scratch(p.features, &p.conv, threads) * sizeof *p.scratch, 64);
            p.residual = residual == RESIDUAL_NONE ? NULL : residual == RESIDUAL_OTHER ? added : p.out;
            memcpy(p.out, added, used * sizeof *added);
            fill_gaps(&p, GAP);
            test_begin("conv", type == RK_F16 ? "f16 fast" : "f32 fast", test_isas[isa].name,
                       "%s, %s, %d x %d x %d to %d, kernel %d, stride %d, upsample %d, residual %d, normalized %d, %d threads, cache of %zu bytes",
                       algorithm == RK_CONV_WINOGRAD ? "f32" : "int16", with->name, s->height, s->width, s->in_channels, s->out_channels, s->kernel,
                       s->stride, s->upsample, residual, normalized, threads, rk_cpu_l2_bytes());
            test_expect(rk_conv_is_winograd(&p.conv) || (algorithm == RK_CONV_INT16 && rk_conv_is_int16(&p.conv)), "not fast");
            rk_parallel(threads, run_whole_conv, &p);
            if (expected) test_equal_floats(expected, p.out, used);
            else if (!with->no_definition) test_errors(&p, residual ? added : NULL, with);
            test_gaps(&p, GAP);
            test_guards(p.out);
            test_guards(p.scratch);
            test_free(p.scratch);
            if (expected) test_free(p.out);
            else expected = p.out;
        }
    }
    test_free(added), test_free(expected);
    free_problem(&p, bias);
}

// Whole slices of equal numbers, whose sums are nearly the most that there can be, and what the scales must not be misled by.
static void test_operands(void) {
    const operands with[] = {
        {"all 1", {TEST_HIGH, 1, 0}, {TEST_HIGH, 1, 0}, 0},
        {"all -1 and 1", {TEST_LOW, 1, 0}, {TEST_HIGH, 1, 0}, 0},
        {"one weight is large", {TEST_RANDOM, 1, 0}, {TEST_RANDOM, 1, 1e3f}, 0},
        {"one x is large", {TEST_RANDOM, 1, 1e3f}, {TEST_RANDOM, 1, 0}, 0},
        {"denormal x", {TEST_RANDOM, 1e-40f, 0}, {TEST_RANDOM, 1, 0}, 0},
        {"tiny x", {TEST_RANDOM, 1e-15f, 0}, {TEST_RANDOM, 1, 0}, 0},
        {"x about the least", {TEST_RANDOM, 4e-14f, 0}, {TEST_RANDOM, 1e3f, 0}, 0},
        {"tiny weights", {TEST_RANDOM, 1e3f, 0}, {TEST_RANDOM, 1e-15f, 0}, 0},
        {"one x is NaN", {TEST_RANDOM, 1, NAN}, {TEST_RANDOM, 1, 0}, 1},
        {"one x is infinite", {TEST_RANDOM, 1, INFINITY}, {TEST_RANDOM, 1, 0}, 1},
        {"all x are infinite", {TEST_HIGH, INFINITY, 0}, {TEST_HIGH, 1, 0}, 1},
        {"one weight is infinite", {TEST_RANDOM, 1, 0}, {TEST_RANDOM, 1, INFINITY}, 1},
        {"no square of x is finite", {TEST_RANDOM, 1e20f, 0}, {TEST_RANDOM, 1, 0}, 1},
    };
    const shape shapes[] = {{2, 3, 256, 16, 1, 1, 0, 0}, {6, 5, 64, 16, 3, 1, 1, 0}, {5, 6, 128, 20, 3, 1, 1, 0}, {4, 5, 32, 16, 3, 2, 0, 0},
                            {3, 2, 160, 16, 3, 1, 1, 1}};
    for (size_t i = 0; i < COUNT(with); i++) {
        for (size_t k = 0; k < COUNT(shapes); k++)
            test_fast(&shapes[k], (i + k) % 2 ? RK_F16 : RK_F32, RK_CONV_INT16, k % 2 ? RESIDUAL_IN_PLACE : RESIDUAL_NONE, 0, &with[i]);
    }
}

void test_conv(void) {
    const shape shapes[] = {
        {1, 1, 1, 1, 3, 1, 1, 0},    {1, 1, 3, 5, 3, 1, 1, 1},     {2, 3, 3, 16, 3, 1, 1, 0},   {7, 5, 20, 17, 3, 1, 1, 0},
        {5, 1, 4, 16, 3, 1, 1, 0},   {1, 9, 16, 16, 3, 1, 1, 0},   {3, 4, 5, 7, 3, 1, 1, 1},    {4, 2, 16, 32, 3, 1, 1, 1},
        {6, 8, 5, 16, 3, 2, 0, 0},   {7, 5, 16, 20, 3, 2, 0, 0},   {2, 2, 3, 3, 3, 2, 0, 0},    {1, 1, 7, 5, 1, 1, 0, 0},
        {4, 9, 33, 40, 1, 1, 0, 0},  {9, 4, 16, 144, 1, 1, 0, 0},  {6, 6, 8, 16, 1, 2, 0, 0},   {3, 3, 6, 16, 1, 1, 0, 1},
        {17, 13, 3, 32, 3, 1, 1, 0}, {20, 21, 16, 16, 3, 1, 1, 0}, {6, 7, 256, 16, 3, 1, 1, 0}, {5, 6, 4, 290, 3, 1, 1, 0},
        {5, 5, 4, 16, 3, 1, 0, 0},
    };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        for (int type = RK_F32; type <= RK_F16; type++) {
            test_shape(&shapes[i], (rk_type)type, (int)i % 3 * 5, (int)(i + (size_t)type) % 3, i % 4 != 1, (i + (size_t)type) % 2);
        }
    }

    test_winograd_slots(16);
    test_winograd_slots(48);
    test_winograd_slots(32);
    test_winograd_slots(96);
    const size_t cache = rk_cpu_l2_bytes();
    test_operands();
    const shape fast[] = {
        {1, 1, 16, 16, 3, 1, 1, 0}, {4, 4, 16, 32, 3, 1, 1, 0},   {5, 9, 32, 16, 3, 1, 1, 0},    {3, 6, 16, 16, 3, 1, 1, 1},
        {8, 8, 48, 48, 3, 1, 1, 0}, {30, 41, 16, 16, 3, 1, 1, 0}, {56, 60, 208, 16, 3, 1, 1, 0},
        {9, 6, 16, 3, 3, 1, 1, 0},  {13, 10, 144, 20, 3, 1, 1, 1}, {80, 84, 16, 20, 3, 1, 1, 0}, {37, 32, 16, 16, 3, 1, 1, 1},
        {80, 84, 16, 48, 3, 1, 1, 0},
    };
    for (size_t i = 0; i < COUNT(fast); i++) {
        for (int residual = RESIDUAL_NONE; residual <= RESIDUAL_IN_PLACE; residual++) {
            for (int normalized = 0; normalized <= 1; normalized++)
                test_fast(&fast[i], (i + (size_t)residual) % 2 ? RK_F16 : RK_F32, RK_CONV_WINOGRAD, residual, normalized, &random_operands);
        }
    }
    // Small ones first, for processors whose integers are the scalar definition's only.
    const shape integers[] = {
        {1, 1, 32, 16, 3, 1, 1, 0},   {5, 9, 96, 20, 3, 1, 1, 0},  {3, 6, 64, 16, 3, 1, 1, 1},  {1, 1, 32, 3, 1, 1, 0, 0},
        {6, 9, 64, 40, 1, 1, 0, 0},   {6, 8, 32, 16, 3, 2, 0, 0},  {4, 3, 64, 16, 1, 1, 0, 1},  {5, 5, 32, 16, 3, 1, 0, 0},
        {8, 8, 48, 48, 3, 1, 1, 0},   {9, 10, 288, 20, 3, 1, 1, 1}, {17, 13, 96, 33, 3, 2, 0, 0}, {20, 21, 320, 290, 1, 1, 0, 0},
        {37, 32, 32, 40, 3, 1, 1, 1}, {48, 64, 32, 36, 3, 1, 1, 0}, {48, 64, 160, 16, 3, 1, 1, 0}, {60, 68, 288, 16, 3, 1, 1, 0},
    };
    const int small = 9, simd = rk_conv_kernels_for(test_isas[test_isa_count - 1].features, RK_CONV_INT16).multiply !=
                                rk_conv_kernels_for(0, RK_CONV_INT16).multiply;
    for (int i = 0; i < (simd ? (int)COUNT(integers) : small); i++) {
        for (int residual = RESIDUAL_NONE; residual <= RESIDUAL_IN_PLACE; residual++)
            test_fast(&integers[i], (i + residual) % 2 ? RK_F16 : RK_F32, RK_CONV_INT16, residual, (i + residual) % 2, &random_operands);
    }
    rk_cpu_set_l2_bytes(cache);
}

static const char *const algorithms[] = {"f16", "f16 winograd", "f16 int16"};

static void call_conv(void *context) { rk_parallel(test_threads, run_conv, context); }

void bench_conv(void) {
    const shape shapes[] = {
        {128, 128, 3, 128, 3, 1, 1, 0}, {128, 128, 128, 128, 3, 1, 1, 0}, {128, 128, 128, 128, 3, 2, 0, 0},
        {32, 32, 128, 256, 3, 1, 1, 0}, {32, 32, 256, 256, 3, 1, 1, 0},   {16, 16, 512, 512, 3, 1, 1, 0},
        {16, 16, 512, 512, 3, 1, 1, 1}, {16, 16, 512, 512, 1, 1, 0, 0},   {128, 128, 128, 3, 3, 1, 1, 0},
    };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        const shape *s = &shapes[i];
        char text[64];
        snprintf(text, sizeof text, "%dx%dx%d to %d, %dx%d/%d%s", s->height, s->width, s->in_channels, s->out_channels, s->kernel,
                 s->kernel, s->stride, s->upsample ? " up" : "");
        for (int isa = 1; isa < test_isa_count; isa++) {
            problem p = make_problem(s, RK_F16, 0, &random_operands);
            const float *bias = p.conv.bias;
            p.features = test_isas[isa].features;
            p.out_stride = (size_t)((s->out_channels + 15) / 16 * 16);
            const double pixels = (double)p.out_height * p.out_width;
            p.out = test_alloc((size_t)pixels * p.out_stride * sizeof *p.out, 64);
            for (int algorithm = RK_CONV_DIRECT; algorithm <= RK_CONV_INT16; algorithm++) {
                p.conv.algorithm = (rk_conv_algorithm)algorithm;
                if (algorithm == RK_CONV_WINOGRAD && !rk_conv_is_winograd(&p.conv)) continue;
                if (algorithm == RK_CONV_INT16 && !rk_conv_is_int16(&p.conv)) continue;
                p.scratch = test_alloc(rk_conv_scratch(p.features, &p.conv, test_threads) * sizeof *p.scratch, 64);
                test_report("conv", algorithms[algorithm], test_isas[isa].name, text,
                            2e-9 * pixels * s->out_channels * p.conv.weights.columns, "GFLOP", test_time(call_conv, &p), 0);
                test_free(p.scratch);
            }
            test_free(p.out);
            free_problem(&p, bias);
        }
    }
}
