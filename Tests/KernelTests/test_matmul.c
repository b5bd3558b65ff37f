#include <math.h>
#include <stdio.h>
#include <string.h>
#include "harness.h"

static const char *const kind_names[] = {"f32", "f16", "int8", "int4", "int8 x int16"};

// The 256-bit VNNI kernels in the encoding of AVX-512, for machines that have only that; see avxvnni_as_avx512.c.
extern const rk_matmul_kernels test_avxvnni_as_avx512;

// Every instruction set is tried as that of each kind of processor, whichever this one is.
static const struct {
    const char *name;
    uint32_t traits;
} makers[] = {{"", 0}, {", prefetch", RK_CPU_PREFETCH}, {", Intel", RK_CPU_PREFETCH | RK_CPU_INTEL}};
enum { MAKERS = sizeof makers / sizeof makers[0] };

static uint32_t variant_features(int variant) {
    return (test_isas[variant / MAKERS].features & ~(uint32_t)RK_CPU_TRAITS) | makers[variant % MAKERS].traits;
}

// The kinds of product: those of rk_type, then bytes with 16-bit x.
enum { INT16 = RK_INT4 + 1, KINDS };

static rk_type weights_of(int kind) { return kind == INT16 ? RK_INT8 : (rk_type)kind; }

static rk_matmul_kernel kernel_of(const rk_matmul_kernels *kernels, int kind) {
    return kind == INT16 ? kernels->int16 : kernels->tile[kind];
}

typedef struct implementation {
    const char *name;
    rk_matmul_kernel run;
} implementation;

// The implementations of a slot on this machine, scalar first, each once.
static int implementations(int kind, implementation list[10]) {
    int count = 0;
    for (int variant = 0; variant < MAKERS * test_isa_count; variant++) {
        const rk_matmul_kernels kernels = rk_matmul_kernels_for(variant_features(variant));
        const rk_matmul_kernel kernel = kernel_of(&kernels, kind);
        int known = 0;
        for (int i = 0; i < count; i++) known |= list[i].run == kernel;
        if (!known) list[count++] = (implementation){kernels.name, kernel};
    }
#if defined(__x86_64__)
    if (test_isas[test_isa_count - 1].features & RK_CPU_AVX512 && kernel_of(&test_avxvnni_as_avx512, kind)) {
        list[count++] = (implementation){test_avxvnni_as_avx512.name, kernel_of(&test_avxvnni_as_avx512, kind)};
    }
#endif
    return count;
}

static int is_integer(rk_type type) { return type == RK_INT8 || type == RK_INT4; }

// Panels of true size, every byte a value that the quantizer can write; columns past the true number are zeros as it writes them.
static void *make_weights(rk_type type, int rows, int columns, test_pattern pattern) {
    const int panels = (rows + RK_PANEL - 1) / RK_PANEL;
    const size_t bytes = rk_panel_bytes(type, columns);
    uint8_t *weights = test_alloc(bytes * (size_t)panels, 64);
    for (int panel = 0; panel < panels; panel++) {
        uint8_t *p = weights + bytes * (size_t)panel;
        switch (type) {
        case RK_F32: test_fill_floats((float *)p, (size_t)columns * RK_PANEL, pattern, 1); break;
        case RK_F16: test_fill_f16((rk_f16 *)p, (size_t)columns * RK_PANEL, pattern, 1); break;
        case RK_INT8:
            test_fill_floats((float *)p, RK_PANEL, TEST_RANDOM, 0.01f);
            test_fill_bytes((int8_t *)p + 64, bytes - 64, pattern, -128, 127);
            for (int k = columns; k < rk_padded_columns(columns); k++) {
                for (int r = 0; r < RK_PANEL; r++) p[64 + k / 4 * 64 + 4 * r + k % 4] = 0;
            }
            break;
        case RK_INT4:
            test_fill_floats((float *)p, RK_PANEL, TEST_RANDOM, 0.001f);
            for (size_t block = 64; block < bytes; block += 1088) {
                test_fill_bytes((int8_t *)(p + block), 64, pattern, -127, 127);
                for (int i = 64; i < 1088; i++) {
                    int8_t pair[2]; // 0 stands for -8, 15 for 7, 8 for zero
                    test_fill_bytes(pair, 2, pattern, -8, 7);
                    p[block + (size_t)i] = (uint8_t)((pair[0] + 8) | (pair[1] + 8) << 4);
                }
            }
            break;
        }
    }
    return weights;
}

typedef struct rows_of_x {
    rk_input input;
    void *buffers[3];
} rows_of_x;

static rows_of_x make_x(int kind, int count, int columns, test_pattern pattern) {
    rows_of_x x = {.input.count = count};
    if (is_integer(weights_of(kind))) {
        // Rows one after the other, or further apart with something between them that kernels must not read.
        const int padded = rk_padded_columns(columns), stride = count % 2 ? rk_row_stride(columns) : padded, groups = stride / RK_GROUP;
        const size_t size = kind == INT16 ? sizeof(int16_t) : sizeof(int8_t);
        char *values = test_alloc((size_t)count * (size_t)stride * size, 64);
        const int has_blocks = kind == RK_INT8, blocks = has_blocks ? rk_int8_blocks(columns) : 1;
        float *scales = test_alloc((size_t)(count * blocks) * sizeof(float), 4);
        int32_t *starts = kind == INT16 ? NULL : test_alloc((size_t)count * (size_t)groups * sizeof(int32_t), 4);
        test_fill_floats(scales, (size_t)(count * blocks), TEST_RANDOM, 0.01f);
        memset(values, 0, (size_t)count * (size_t)stride * size);
        for (int t = 0; t < count; t++) {
            char *row = values + (size_t)t * (size_t)stride * size;
            memset(row + (size_t)padded * size, 101, (size_t)(stride - padded) * size);
            if (kind == INT16) {
                test_fill_shorts((int16_t *)row, (size_t)columns, pattern, -RK_INT16_LARGEST, RK_INT16_LARGEST);
                continue;
            }
            test_fill_bytes((int8_t *)row, (size_t)columns, pattern, -RK_INT8_LARGEST, RK_INT8_LARGEST);
            for (int g = 0; g < groups; g++) {
                int32_t sum = 0;
                for (int k = 0; k < RK_GROUP; k++) sum += (int8_t)row[g * RK_GROUP + k];
                starts[t * groups + g] = -8 * sum;
            }
            for (int b = 0; b < blocks && has_blocks; b++) {
                int32_t sum = 0;
                for (int k = b * RK_INT8_BLOCK; k < columns && k < (b + 1) * RK_INT8_BLOCK; k++) sum += (int8_t)row[k];
                starts[t * groups + b] = -128 * sum;
            }
        }
        // Sometimes all rows are the first one.
        x.input.integers = (rk_integer_rows){.values = values, .scales = scales, .starts = starts, .stride = test_random_below(8) ? stride : 0,
                                             .is_int16 = kind == INT16, .has_blocks = has_blocks};
        x.buffers[0] = values, x.buffers[1] = scales, x.buffers[2] = starts;
    } else {
        const size_t stride = (size_t)(columns + count % 3), floats = (size_t)(count - 1) * stride + (size_t)columns;
        float *values = test_alloc(floats * sizeof(float), 4);
        test_fill_floats(values, floats, pattern, 2);
        x.input.x = values;
        x.input.stride = stride;
        x.buffers[0] = values;
    }
    return x;
}

static void free_x(rows_of_x x) {
    for (int i = 0; i < 3; i++) {
        if (x.buffers[i]) test_free(x.buffers[i]);
    }
}

static rk_matmul_tile make_tile(int kind, const void *weights, int panels, int columns, const rk_input *input) {
    const int integer = is_integer(weights_of(kind));
    return (rk_matmul_tile){
        .weights = weights,
        .panels = panels,
        .columns = integer ? rk_padded_columns(columns) : columns,
        .x = input->x,
        .x8 = kind == INT16 ? NULL : input->integers.values,
        .x16 = kind == INT16 ? input->integers.values : NULL,
        .scales = input->integers.scales,
        .scales_stride = input->integers.has_blocks ? (size_t)rk_int8_blocks(columns) : 1,
        .starts = input->integers.starts,
        .x_stride = integer ? (size_t)input->integers.stride : input->stride,
        .count = input->count,
    };
}

// The prefetch distance of weights where they are prefetched: some kernels then are other code, whatever the processor's maker.
enum { DISTANCE = 1 << 10 };

static void check_tile(int kind, int panels, int columns, int count, test_pattern weights_pattern, test_pattern x_pattern) {
    void *weights = make_weights(weights_of(kind), panels * RK_PANEL, columns, weights_pattern);
    rows_of_x x = make_x(kind, count, columns, x_pattern);
    float *bias = test_alloc((size_t)panels * RK_PANEL * sizeof(float), 4);
    test_fill_floats(bias, (size_t)panels * RK_PANEL, TEST_RANDOM, 1);
    rk_matmul_tile tile = make_tile(kind, weights, panels, columns, &x.input);
    tile.bias = test_random_below(4) ? bias : NULL;
    const int width = panels * RK_PANEL, gap = test_random_below(3) * 5; // floats between rows of out that stay untouched
    tile.out_stride = (size_t)(width + gap);
    const size_t bytes = ((size_t)count * tile.out_stride - (size_t)gap) * sizeof(float);

    implementation list[10];
    const int implementation_count = implementations(kind, list);
    float *expected = NULL; // what the first one gives
    for (int i = 0; i < implementation_count; i++) {
        for (tile.prefetch_distance = 0; tile.prefetch_distance <= DISTANCE; tile.prefetch_distance += DISTANCE) {
            tile.streams = 2 + 2 * test_random_below(2);
            test_begin("matmul", kind_names[kind], list[i].name,
                       "%d panels, %d columns, %d rows of x, weights %s, x %s, stride %zu, bias %s, %d streams, prefetch distance %d", panels,
                       columns, count, test_pattern_names[weights_pattern], test_pattern_names[x_pattern], tile.x_stride,
                       tile.bias ? "yes" : "no", tile.streams, tile.prefetch_distance);
            tile.out = test_alloc(bytes, 4);
            list[i].run(&tile);
            expected = expected ? expected : tile.out;
            test_equal_floats(expected, tile.out, bytes / sizeof(float));
            test_guards(tile.out);
            if (tile.out != expected) test_free(tile.out);
        }
    }
    test_free(expected);
    test_free(bias);
    free_x(x);
    test_free(weights);
}

static void check_tiles(void) {
    const int columns[] = {1, 3, 4, 31, 32, 33, 63, 64, 65, 128, 256, 257, 1000, 1050};
    for (int kind = 0; kind < KINDS; kind++) {
        for (int count = 1; count <= 30; count++) {
            for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) {
                if (columns[c] > 128 && count > 14) continue;
                check_tile(kind, 1 + test_random_below(3), columns[c], count, TEST_RANDOM, TEST_RANDOM);
            }
        }
        check_tile(kind, 3, 640, 100, TEST_RANDOM, TEST_RANDOM); // more than kernels take at once of anything
        for (int count = 31; count <= 120; count += 11) { // some kernels differ for dozens of rows and for more than 96
            const int few = 1 + test_random_below(100), many = 1000 + test_random_below(100);
            check_tile(kind, 3 + test_random_below(3), count % 2 ? few : many, count, TEST_RANDOM, TEST_RANDOM);
        }
        check_tile(kind, 3, 1050, 97, TEST_RANDOM, TEST_RANDOM); // more than is unpacked at once, of rows and columns
        for (int panels = 4; panels <= 14; panels += 5) { // one row may go by several panels at a time
            for (size_t c = 0; c < sizeof columns / sizeof columns[0]; c++) check_tile(kind, panels, columns[c], 1, TEST_RANDOM, TEST_RANDOM);
        }
        for (test_pattern w = 0; w < TEST_PATTERNS; w++) {
            for (test_pattern x = 0; x < TEST_PATTERNS; x++) {
                check_tile(kind, 1, 192, 1, w, x);
                check_tile(kind, 1, 192, 13, w, x);
                check_tile(kind, 1, 192, 97, w, x);
                check_tile(kind, 1, 1024, 2, w, x);
                check_tile(kind, 5, 1024, 1, w, x);
                check_tile(kind, 1, 1024, 13, w, x);
            }
        }
    }
}

typedef struct product {
    uint32_t features;
    rk_matrix matrix;
    rk_input input;
    const float *bias;
    rk_activation activation;
    float *out;
    size_t out_stride;
} product;

static void run_product(void *context, rk_worker *worker) {
    const product *p = context;
    rk_matmul(worker, p->features, &p->matrix, &p->input, p->bias, p->activation, p->out, p->out_stride);
}

static void run_whole_product(void *context, rk_worker *worker) {
    run_product(context, worker);
    test_step_ended(worker);
}

// The step: the first `used` rows of a matrix of `rows`, cut into chunks for several workers, with bias, activation and, for some of int8, offsets.
static void check_step(int kind, int rows, int used, int columns, int count, int threads) {
    const rk_type type = weights_of(kind);
    void *weights = make_weights(type, rows, columns, TEST_RANDOM);
    rows_of_x x = make_x(kind, count, columns, TEST_RANDOM);
    float *bias = test_alloc((size_t)used * sizeof(float), 4);
    test_fill_floats(bias, (size_t)used, TEST_RANDOM, 1);
    const int width = (used + RK_PANEL - 1) / RK_PANEL * RK_PANEL, gap = test_random_below(3) * 7; // floats between rows of out
    const size_t stride = (size_t)(width + gap), floats = (size_t)count * stride - (size_t)gap;
    float *expected = test_alloc(floats * sizeof(float), 4);

    // The scalar kernel on everything at once.
    float *padded = test_alloc((size_t)width * sizeof(float), 4);
    memset(padded, 0, (size_t)width * sizeof(float));
    memcpy(padded, bias, (size_t)used * sizeof(float));
    rk_matmul_tile tile = make_tile(kind, weights, width / RK_PANEL, columns, &x.input);
    tile.out = expected;
    tile.out_stride = stride;
    tile.bias = padded;
    const rk_matmul_kernels scalar = rk_matmul_kernels_for(0);
    kernel_of(&scalar, kind)(&tile);
    float *offsets = NULL, *sums = NULL;
    const int sums_stride = width + 16 * test_random_below(2);
    if (is_integer(type) && kind != INT16 && test_random_below(2)) {
        const int blocks = kind == RK_INT8 ? rk_int8_blocks(columns) : 1, all = blocks * sums_stride;
        x.input.integers.offsets = offsets = test_alloc((size_t)(count * blocks) * sizeof(float), 4);
        sums = test_alloc((size_t)all * sizeof(float), 4);
        test_fill_floats(offsets, (size_t)(count * blocks), TEST_RANDOM, 3);
        test_fill_floats(sums, (size_t)all, TEST_RANDOM, 2);
        for (int t = 0; t < count; t++) {
            for (int r = 0; r < used; r++) {
                float *out = expected + (size_t)t * stride + (size_t)r;
                for (int b = 0; b < blocks; b++) *out = fmaf(offsets[t * blocks + b], sums[b * sums_stride + r], *out);
            }
        }
    }
    const rk_activation activation = test_random_below(2) ? RK_GELU : RK_NONE;
    for (int t = 0; t < count && activation == RK_GELU; t++) rk_norm_kernels_for(0).gelu(expected + (size_t)t * stride, width);
    test_begin("matmul", kind_names[kind], "scalar", "%d x %d, %d rows of x", rows, columns, count);
    for (int t = 0; t < count; t++) test_finite(expected + (size_t)t * stride, (size_t)width);

    for (int variant = 0; variant < MAKERS * test_isa_count; variant++) {
        const test_isa isa = test_isas[variant / MAKERS];
        const uint32_t features = variant_features(variant);
        test_begin("matmul", kind_names[kind], isa.name, "step, %d of %d x %d, %d rows of x, %d threads%s%s",
                   used, rows, columns, count, threads, makers[variant % MAKERS].name, offsets ? ", offsets" : "");
        float *actual = test_alloc(floats * sizeof(float), 4);
        product p = {features, {weights, type, used, columns, sums, (size_t)sums_stride}, x.input, bias, activation, actual, stride};
        rk_parallel(threads, run_whole_product, &p);
        for (int t = 0; t < count; t++) {
            const size_t row = (size_t)t * stride, behind = row + (size_t)width;
            if (!test_equal_floats(expected + row, actual + row, (size_t)used)) break;
            if (t < count - 1 && !test_equal_floats(expected + behind, actual + behind, (size_t)gap)) break;
        }
        test_guards(actual);
        test_free(actual);
    }
    if (offsets) test_free(offsets), test_free(sums);
    test_free(padded);
    test_free(expected);
    test_free(bias);
    free_x(x);
    test_free(weights);
}

static void check_steps(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        for (int rows = 1; rows <= 50; rows += 7) {
            for (int threads = 1; threads <= 3; threads += 2) {
                check_step(kind, rows, rows, 1 + test_random_below(200), 1 + test_random_below(60), threads);
            }
        }
        check_step(kind, 200, 101, 96, 3, 2);
        check_step(kind, 64, 48, 520, 150, 2);
        check_step(kind, 64, 48, 1000, 151, 2); // blocks of rows, of bytes too, that lie further apart than their columns
        check_step(kind, 1000, 1000, 64, 1, 2);
        check_step(kind, 1010, 1010, 64, 24, 3);
        check_step(kind, 1010, 994, 64, 25, 2);
        check_step(kind, 200, 101, 96, 1, 1);
        check_step(kind, 32, 32, 33, 600, 2);
    }
}

enum { WORKERS = 3, STEPS = 50 };

typedef struct announced {
    const rk_matrix *matrix;
    int count;
    rk_worker before[WORKERS], after[WORKERS];
} announced;

static void run_announced(void *context, rk_worker *worker) {
    announced *a = context;
    rk_matmul_prefetch(worker, a->matrix, a->count);
    a->before[worker->index] = *worker;
    for (int step = 0; step < STEPS; step++) rk_barrier(worker);
    a->after[worker->index] = *worker;
}

// What workers prefetch while they wait: their static shares of the weights, which follow each other, of few rows of x only.
static void check_prefetch(rk_type type, int rows, int count, int threads) {
    const int columns = 192;
    const size_t bytes = rk_panel_bytes(type, columns), all = bytes * (size_t)((rows + RK_PANEL - 1) / RK_PANEL);
    test_begin("matmul", "prefetch", "any", "type %d, %d rows, %d rows of x, %d threads", type, rows, count, threads);
    char *weights = test_alloc(all, 64);
    const rk_matrix matrix = {.data = weights, .type = type, .rows = rows, .columns = columns};
    announced a = {.matrix = &matrix, .count = count};
    rk_parallel(threads, run_announced, &a);
    const size_t l2 = rk_cpu_l2_bytes(), most = l2 ? l2 / 4 : 64 << 10;
    const int workers = a.before[0].count, few = workers > 1 && count <= 24 && (rows + RK_PANEL - 1) / RK_PANEL >= 16 * workers;
    for (int i = 0; i < workers; i++) {
        const rk_worker before = a.before[i], after = a.after[i];
        test_expect((before.prefetch_bytes > 0) == few && before.prefetch_bytes <= most, "worker %d: %zu bytes", i, before.prefetch_bytes);
        if (!few) continue;
        const char *end = i + 1 < workers ? a.before[i + 1].prefetch : weights + all;
        test_expect(i > 0 || before.prefetch == weights, "worker 0 begins at %td", before.prefetch - weights);
        test_expect(before.prefetch + before.prefetch_bytes <= end, "worker %d: %zu bytes from %td", i, before.prefetch_bytes,
                    before.prefetch - weights);
        const char *after_end = after.prefetch + after.prefetch_bytes, *before_end = before.prefetch + before.prefetch_bytes;
        test_expect(after_end == before_end && after.prefetch >= before.prefetch, "worker %d went on to %td", i, after.prefetch - weights);
    }
    a.matrix = NULL;
    rk_parallel(threads, run_announced, &a);
    for (int i = 0; i < workers; i++) test_expect(a.before[i].prefetch_bytes == 0, "worker %d: %zu bytes of nothing", i, a.before[i].prefetch_bytes);
    test_free(weights);
}

typedef struct packing {
    float *panels;
    const float *source;
    int rows, columns;
    size_t row_stride, column_stride;
} packing;

static void run_packing(void *context, rk_worker *worker) {
    const packing *p = context;
    rk_pack_f32(worker, p->panels, p->source, p->rows, p->columns, p->row_stride, p->column_stride);
    test_step_ended(worker);
}

static void check_packing(int rows, int columns, int transposed) {
    test_begin("matmul", "pack_f32", "any", "%d x %d%s", rows, columns, transposed ? ", transposed" : "");
    float *source = test_alloc((size_t)rows * (size_t)columns * sizeof(float), 4);
    test_fill_floats(source, (size_t)rows * (size_t)columns, TEST_RANDOM, 1);
    const int panels = (rows + RK_PANEL - 1) / RK_PANEL;
    float *packed = test_alloc((size_t)panels * rk_panel_bytes(RK_F32, columns), 64);
    packing p = {packed, source, rows, columns, transposed ? 1 : (size_t)columns, transposed ? (size_t)rows : 1};
    rk_parallel(2, run_packing, &p);
    int wrong = 0;
    for (int r = 0; r < panels * RK_PANEL; r++) {
        for (int k = 0; k < columns; k++) {
            const float expected = r < rows ? source[(size_t)r * p.row_stride + (size_t)k * p.column_stride] : 0;
            wrong += packed[(r / RK_PANEL * columns + k) * RK_PANEL + r % RK_PANEL] != expected;
        }
    }
    test_expect(wrong == 0, "%d elements wrong", wrong);
    test_guards(packed);
    test_free(packed);
    test_free(source);
}

void test_matmul(void) {
    check_tiles();
    const size_t cache = rk_cpu_l2_bytes();
    rk_cpu_set_l2_bytes(0); // blocks of few rows of x
    check_steps();
    rk_cpu_set_l2_bytes(cache);
    for (int type = RK_F32; type <= RK_INT4; type++) {
        for (int threads = 1; threads <= WORKERS; threads++) {
            const int rows[] = {1, 511, 512, 513, 1000, 4096}, counts[] = {1, 24, 25};
            for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
                    check_prefetch(type, rows[i], counts[k], threads);
                }
            }
        }
    }
    for (int transposed = 0; transposed < 2; transposed++) {
        check_packing(1, 1, transposed);
        check_packing(16, 7, transposed);
        check_packing(37, 33, transposed);
    }
}

// A product over and over, in one parallel region as in the runtime, on different copies of the weights: together they are larger than the
// caches, as a model is.
typedef struct timed {
    product product;
    const char *weights;
    size_t bytes; // of one copy
    int copies, next, products;
    int threads;
} timed;

static void run_timed(void *context, rk_worker *worker) {
    const timed *t = context;
    product p = t->product;
    for (int i = 0; i < t->products; i++) {
        p.matrix.data = t->weights + t->bytes * (size_t)((t->next + i) % t->copies);
        run_product(&p, worker);
    }
}

static void call_timed(void *context) {
    timed *t = context;
    rk_parallel(t->threads, run_timed, t);
    t->next += t->products;
}

static void bench_shape(int kind, int rows, int columns, int threads) {
    const rk_type type = weights_of(kind);
    enum { WEIGHT_BYTES = 160 << 20, COUNTS = 4 };
    const int counts[COUNTS] = {1, 8, 48, 320};
    const size_t bytes = rk_panel_bytes(type, columns) * (size_t)((rows + RK_PANEL - 1) / RK_PANEL);
    const int copies = (int)(WEIGHT_BYTES / bytes) + 1;
    char *weights = test_alloc(bytes * (size_t)copies, 64);
    void *one = make_weights(type, rows, columns, TEST_RANDOM);
    for (int i = 0; i < copies; i++) memcpy(weights + bytes * (size_t)i, one, bytes);
    test_free(one);
    rows_of_x x = make_x(kind, counts[COUNTS - 1], columns, TEST_RANDOM);
    float *out = test_alloc((size_t)counts[COUNTS - 1] * (size_t)rows * sizeof(float), 64);

    double scalar = 0; // seconds of one row of x; more rows take as much each
    rk_matmul_kernel before = NULL;
    for (int isa = 0; isa < test_isa_count; isa++) {
        const rk_matmul_kernels kernels = rk_matmul_kernels_for(test_isas[isa].features);
        if (kernel_of(&kernels, kind) == before) continue;
        before = kernel_of(&kernels, kind);
        for (int i = 0; i < (isa ? COUNTS : 1); i++) {
            const rk_matrix matrix = {.type = type, .rows = rows, .columns = columns};
            timed t = {
                .product = {test_isas[isa].features, matrix, x.input, NULL, RK_NONE, out, (size_t)rows},
                .weights = weights, .bytes = bytes, .copies = copies, .products = isa && counts[i] <= 8 ? 16 : 1, .threads = threads};
            t.product.input.count = counts[i];
            const double seconds = test_time(call_timed, &t) / t.products;
            scalar = isa ? scalar : seconds;
            char shape[48];
            snprintf(shape, sizeof shape, "%dx%d x%d, %d threads", rows, columns, counts[i], threads);
            if (counts[i] == 1) {
                test_report("matmul", kind_names[kind], kernels.name, shape, (double)bytes * 1e-9, "GB", seconds, isa ? scalar : 0);
            } else {
                test_report("matmul", kind_names[kind], kernels.name, shape, 1e-9 * rows * columns * counts[i], "GMAC", seconds,
                            scalar * counts[i]);
            }
        }
    }
    test_free(out);
    free_x(x);
    test_free(weights);
}

void bench_matmul(void) {
    const int shapes[][2] = {{3072, 1024}, {1024, 1024}, {4096, 1024}, {1024, 4096}, {16384, 1024}}; // of the 350M
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            bench_shape(kind, shapes[i][0], shapes[i][1], test_threads);
        }
    }
}
