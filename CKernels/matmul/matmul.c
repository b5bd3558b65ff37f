#include "matmul.h"

// Overwrites the slots that `with` has.
static void overwrite(rk_matmul_kernels *kernels, const rk_matmul_kernels *with) {
    kernels->name = with->name;
    for (int type = RK_F32; type <= RK_INT4; type++) {
        if (with->tile[type]) kernels->tile[type] = with->tile[type];
    }
    if (with->int16) kernels->int16 = with->int16;
    if (with->add_offsets) kernels->add_offsets = with->add_offsets;
}

rk_matmul_kernels rk_matmul_kernels_for(uint32_t features) {
    rk_matmul_kernels kernels = rk_matmul_scalar;
#if defined(__x86_64__)
    if (features & RK_CPU_AVX2) overwrite(&kernels, &rk_matmul_avx2);
    if (features & RK_CPU_AVXVNNI) overwrite(&kernels, &rk_matmul_avxvnni);
    if (features & RK_CPU_AVX512) overwrite(&kernels, &rk_matmul_avx512);
    if (features & RK_CPU_AVX512 && features & RK_CPU_PREFETCH)
        overwrite(&kernels, features & RK_CPU_INTEL ? &rk_matmul_avx512_intel : &rk_matmul_avx512_zen5);
#elif defined(__aarch64__)
    if (features & RK_CPU_NEON) overwrite(&kernels, &rk_matmul_neon);
    if (features & RK_CPU_DOTPROD) overwrite(&kernels, &rk_matmul_dotprod);
    if (features & RK_CPU_I8MM) overwrite(&kernels, &rk_matmul_i8mm);
#else
    (void)features, (void)overwrite;
#endif
    return kernels;
}

// Rows of x that all panels pass before the next ones come: blocks of equal size, of whole register tiles.
static int block_rows(int count, size_t x_row_bytes) {
    enum {
        X_BYTES = 128 << 10, // a block of x stays in L2 meanwhile: a quarter of it, or this where that is more
        ROWS = 48,           // at least: fewer would read the panels too often
        REGISTER_TILE = 12
    };
    const size_t quarter = rk_cpu_l2_bytes() / 4, x_bytes = quarter > X_BYTES ? quarter : X_BYTES;
    const int blocks = rk_divide_up(count, rk_max(ROWS, (int)(x_bytes / x_row_bytes)));
    return rk_min(count, rk_divide_up(rk_divide_up(count, blocks), REGISTER_TILE) * REGISTER_TILE);
}

// The prefetch distance of weights in each stream (rk_matmul_tile). Without RK_CPU_PREFETCH the hardware prefetcher alone reads more: with AVX-512
// that is Zen 4, as long as products leave it time.
static int prefetch_distance(uint32_t features, rk_type type, int is_int16, int count) {
    if (features & RK_CPU_INTEL) return count == 1 ? 1 << 10 : 4 << 10;
    if (features & RK_CPU_PREFETCH) return count == 1 ? 3 << 10 : 8 << 10;
    if (!(features & RK_CPU_AVX512)) return 0;
    if (type == RK_INT4 && count == 1) return 1 << 10;
    if (count <= (is_int16 ? 3 : type == RK_F16 ? 4 : 2)) return 0;
    return type == RK_INT4 && count <= RK_INT4_L2_ROWS ? 2 << 10 : 4 << 10;
}

// A product as one tile.
static rk_matmul_tile whole(uint32_t features, const rk_matrix *matrix, const rk_input *input, const float *bias, float *out, size_t out_stride) {
    const int integer = matrix->type == RK_INT8 || matrix->type == RK_INT4;
    rk_matmul_tile tile = {
        .weights = matrix->data,
        .panels = rk_divide_up(matrix->rows, RK_PANEL),
        .columns = integer ? rk_padded_columns(matrix->columns) : matrix->columns,
        .count = input->count,
        .bias = bias,
        .out = out,
        .out_stride = out_stride,
        .streams = features & RK_CPU_PREFETCH && !(features & RK_CPU_INTEL) ? 2 : 4,
        .prefetch_distance = prefetch_distance(features, matrix->type, matrix->type == RK_INT8 && input->integers.is_int16, input->count),
    };
    if (!integer) {
        tile.x = input->x;
        tile.x_stride = input->stride;
        return tile;
    }
    const rk_integer_rows *x = &input->integers;
    tile.x_stride = (size_t)x->stride;
    tile.scales = x->scales;
    tile.scales_stride = x->has_blocks ? (size_t)rk_int8_blocks(matrix->columns) : 1;
    if (matrix->type == RK_INT8 && x->is_int16) {
        tile.x16 = x->values;
    } else {
        tile.x8 = x->values;
        tile.starts = x->starts;
    }
    return tile;
}

// `panels` panels from `panel` on times the rows row ..< row + count of x.
static rk_matmul_tile part(rk_matmul_tile tile, size_t panel_bytes, int panel, int panels, int row, int count) {
    const size_t x = tile.x_stride * (size_t)row;
    tile.weights = (const char *)tile.weights + panel_bytes * (size_t)panel;
    tile.panels = panels;
    tile.count = count;
    if (tile.x) tile.x += x;
    if (tile.x8) tile.x8 += x;
    if (tile.x16) tile.x16 += x;
    if (tile.scales) tile.scales += tile.scales_stride * (size_t)row;
    if (tile.starts) tile.starts += x / RK_GROUP;
    if (tile.bias) tile.bias += panel * RK_PANEL;
    tile.out += tile.out_stride * (size_t)row + (size_t)panel * RK_PANEL;
    return tile;
}

// Runs the kernel on a tile of which only the first `rows` rows of the matrix count. The bias ends with them: a last panel that reaches
// further gets a copy with zeros behind it.
static void run_tile(rk_matmul_kernel kernel, rk_matmul_tile tile, int rows, size_t panel_bytes) {
    const int filled = rk_min(rows / RK_PANEL, tile.panels);
    if (tile.bias && filled < tile.panels) {
        float bias[RK_PANEL] = {0};
        rk_matmul_tile last = part(tile, panel_bytes, filled, 1, 0, tile.count);
        memcpy(bias, last.bias, (size_t)(rows - filled * RK_PANEL) * sizeof *bias);
        last.bias = bias;
        kernel(&last);
        tile.panels = filled;
    }
    if (tile.panels > 0) kernel(&tile);
}

// Chunks of a product, each a panel times a block of rows of x, are taken in multiples of this. Few rows are memory-bound, and a worker's chunks are
// a stream that must get going. Many rows take long for one panel.
static int chunk_step(const rk_worker *worker, int panels, int count) {
    enum { FEW_ROWS = 24 };
    return count > FEW_ROWS || panels < 16 * worker->count ? 1 : 4;
}

void rk_matmul_prefetch(rk_worker *worker, const rk_matrix *matrix, int count) {
    const int panels = matrix ? rk_divide_up(matrix->rows, RK_PANEL) : 0, step = chunk_step(worker, panels, count);
    worker->prefetch = NULL;
    worker->prefetch_bytes = 0;
    if (worker->count == 1 || count < 1 || step == 1) return;
    int first;
    const size_t panel_bytes = rk_panel_bytes(matrix->type, matrix->columns);
    const size_t own = panel_bytes * (size_t)rk_own_chunks(worker, panels, step, &first);
    const size_t l2 = rk_cpu_l2_bytes(), most = l2 ? l2 / 4 : 64 << 10; // an L2 of unknown size may be shared, as a Pi 4's MB is by four cores
    worker->prefetch = (const char *)matrix->data + panel_bytes * (size_t)first;
    worker->prefetch_bytes = own < most ? own : most;
}

void rk_matmul(rk_worker *worker, uint32_t features, const rk_matrix *matrix, const rk_input *input, const float *bias,
               rk_activation activation, float *out, size_t out_stride) {
    enum { ACTIVATED = 32 << 10 }; // floats that an activation still finds in L2
    const rk_matmul_kernels kernels = rk_matmul_kernels_for(features);
    void (*const gelu)(float *, int) = activation == RK_GELU ? rk_norm_kernels_for(features).gelu : NULL;
    const rk_matmul_tile product = whole(features, matrix, input, bias, out, out_stride);
    const rk_matmul_kernel kernel = product.x16 ? kernels.int16 : kernels.tile[matrix->type];
    const size_t element = product.x16 ? sizeof *product.x16 : product.x8 ? sizeof *product.x8 : sizeof *product.x;
    const float *const offsets = product.x8 ? input->integers.offsets : NULL; // as many as scales
    const size_t panel_bytes = rk_panel_bytes(matrix->type, matrix->columns);
    const int panels = product.panels;
    const int rows = input->count > 0 ? block_rows(input->count, (size_t)product.columns * element) : 1;
    const int most = gelu ? rk_max(4, ACTIVATED / (rows * RK_PANEL) / 4 * 4) : panels; // panels to a tile
    const int step = chunk_step(worker, panels, input->count), chunks = panels * rk_divide_up(input->count, rows);
    for (int chunk, taken; (taken = rk_next_chunks(worker, chunks, step, &chunk)) > 0;) {
        for (const int end = chunk + taken; chunk < end;) {
            const int row = chunk / panels * rows, panel = chunk % panels, some = rk_min(most, rk_min(panels - panel, end - chunk));
            const rk_matmul_tile tile = part(product, panel_bytes, panel, some, row, rk_min(rows, input->count - row));
            const int left = matrix->rows - panel * RK_PANEL;
            run_tile(kernel, tile, left, panel_bytes);
            if (offsets) {
                const rk_matmul_offsets some_offsets = {offsets + tile.scales_stride * (size_t)row, matrix->block_sums + panel * RK_PANEL,
                                                        matrix->block_sums_stride, (int)tile.scales_stride};
                kernels.add_offsets(&tile, &some_offsets);
            }
            if (gelu) {
                for (int t = 0; t < tile.count; t++) gelu(tile.out + out_stride * (size_t)t, some * RK_PANEL);
            }
            chunk += some;
        }
    }
    rk_barrier(worker);
}

void rk_pack_f32(rk_worker *worker, float *panels, const float *source, int rows, int columns, size_t row_stride,
                 size_t column_stride) {
    for (int panel; (panel = rk_next_chunk(worker, rk_divide_up(rows, RK_PANEL))) >= 0;) {
        float *packed = panels + (size_t)panel * RK_PANEL * (size_t)columns;
        const float *first = source + row_stride * (size_t)panel * RK_PANEL;
        const int filled = rk_min(RK_PANEL, rows - panel * RK_PANEL);
        for (int k = 0; k < columns; k++) {
            for (int r = 0; r < RK_PANEL; r++) {
                packed[k * RK_PANEL + r] = r < filled ? first[row_stride * (size_t)r + column_stride * (size_t)k] : 0;
            }
        }
    }
    rk_barrier(worker);
}
