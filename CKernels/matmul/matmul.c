#include "matmul.h"

// Overwrites the slots that `with` has.
static void overwrite(rk_matmul_kernels *kernels, const rk_matmul_kernels *with) {
    kernels->name = with->name;
    for (int type = RK_F32; type <= RK_INT4; type++) {
        if (with->tile[type]) kernels->tile[type] = with->tile[type];
    }
    if (with->int16) kernels->int16 = with->int16;
}

rk_matmul_kernels rk_matmul_kernels_for(uint32_t features) {
    rk_matmul_kernels kernels = rk_matmul_scalar;
#if defined(__x86_64__)
    if (features & RK_CPU_AVX2) overwrite(&kernels, &rk_matmul_avx2);
    if (features & RK_CPU_AVXVNNI) overwrite(&kernels, &rk_matmul_avxvnni);
    if (features & RK_CPU_AVX512) overwrite(&kernels, &rk_matmul_avx512);
    if (features & RK_CPU_AVX512 && features & RK_CPU_AHEAD)
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

size_t rk_panel_bytes(rk_type type, int columns) {
    const size_t exact = (size_t)columns, padded = (exact + RK_COLUMN_BLOCK - 1) / RK_COLUMN_BLOCK * RK_COLUMN_BLOCK;
    switch (type) {
    case RK_F32: return RK_PANEL * sizeof(float) * exact;
    case RK_F16: return RK_PANEL * sizeof(rk_f16) * exact;
    case RK_INT8: return RK_PANEL * sizeof(float) + RK_PANEL * padded;
    case RK_INT4: return 9 * padded;
    }
    return 0;
}

static int divide_up(int a, int b) { return (a + b - 1) / b; }

// Rows of x that all panels pass before the next ones come.
static int block_rows(int count, size_t x_row_bytes) {
    enum {
        X_BYTES = 128 << 10, // a block of x stays in the second-level cache meanwhile: a quarter of it, or this where that is more
        ROWS = 48            // at least: fewer would read the panels too often
    };
    const size_t quarter = rk_cpu_cache() / 4, x_bytes = quarter > X_BYTES ? quarter : X_BYTES;
    const int fitting = rk_max(ROWS, (int)(x_bytes / x_row_bytes));
    return rk_min(count, divide_up(divide_up(count, divide_up(count, fitting)), 12) * 12); // blocks of equal size, whole register tiles
}

// Runs the kernel on a tile of which only the first `rows` rows of the matrix count. The bias ends with them: a last panel that reaches
// further gets a copy with zeros behind it.
static void run_tile(rk_matmul_kernel kernel, rk_matmul_tile tile, int rows, size_t panel_bytes) {
    const int whole = rk_min(rows / RK_PANEL, tile.panels);
    if (tile.bias && whole < tile.panels) {
        float bias[RK_PANEL] = {0};
        memcpy(bias, tile.bias + whole * RK_PANEL, (size_t)(rows - whole * RK_PANEL) * sizeof *bias);
        rk_matmul_tile last = tile;
        last.weights = (const char *)tile.weights + panel_bytes * (size_t)whole;
        last.panels = 1;
        last.bias = bias;
        last.out = tile.out + whole * RK_PANEL;
        kernel(&last);
        tile.panels = whole;
    }
    if (tile.panels > 0) kernel(&tile);
}

void rk_matmul(rk_worker *worker, uint32_t features, const rk_matrix *matrix, const rk_input *input, int first_row,
               int row_count, const float *bias, rk_activation activation, float *out, size_t out_stride) {
    enum {
        ACTIVATED = 32 << 10, // floats that an activation still finds in the second-level cache
        FEW_ROWS = 24
    };
    const rk_matmul_kernels kernels = rk_matmul_kernels_for(features);
    void (*const gelu)(float *, int) = activation == RK_GELU ? rk_norm_kernels_for(features).gelu : NULL;
    const int integer = matrix->type == RK_INT8 || matrix->type == RK_INT4;
    const int int16 = matrix->type == RK_INT8 && input->integers.is_int16;
    const rk_matmul_kernel kernel = int16 ? kernels.int16 : kernels.tile[matrix->type];
    const int columns = integer ? rk_padded_columns(matrix->columns) : matrix->columns;
    const size_t panel_bytes = rk_panel_bytes(matrix->type, matrix->columns);
    const int panels = divide_up(row_count, RK_PANEL);
    const size_t x_row_bytes = (size_t)columns * (int16 ? sizeof(int16_t) : integer ? sizeof(int8_t) : sizeof(float));
    const int rows = input->count > 0 ? block_rows(input->count, x_row_bytes) : 1;
    const int chunks = panels * divide_up(input->count, rows);                                 // a panel times a block of rows each
    // Panels to a piece, at least: few rows of x take them in fours, many rows take long for one.
    const int step = panels >= 16 * worker->count && input->count <= FEW_ROWS ? 4 : 1;
    const int most = gelu ? rk_max(4, ACTIVATED / (rows * RK_PANEL) / 4 * 4) : panels;         // panels to a tile
    for (int chunk, taken; (taken = rk_next_chunks(worker, chunks, step, &chunk)) > 0;) {
        for (const int end = chunk + taken; chunk < end;) {
            const int row = chunk / panels * rows, panel = chunk % panels, some = rk_min(most, rk_min(panels - panel, end - chunk));
            rk_matmul_tile tile = {
                .weights = (const char *)matrix->data + panel_bytes * ((size_t)first_row / RK_PANEL + (size_t)panel),
                .panels = some,
                .columns = columns,
                .count = rk_min(rows, input->count - row),
                .bias = bias ? bias + first_row + panel * RK_PANEL : NULL,
                .out = out + out_stride * (size_t)row + (size_t)panel * RK_PANEL,
                .out_stride = out_stride,
                .streams = features & RK_CPU_AHEAD && !(features & RK_CPU_INTEL) ? 2 : 4,
                .ahead = !(features & RK_CPU_AHEAD) ? 0 : features & RK_CPU_INTEL ? 1 << 10 : 3 << 10,
                .most_ahead = features & RK_CPU_INTEL ? 4 << 10 : 8 << 10,
            };
            if (integer) {
                tile.x_stride = (size_t)input->integers.stride;
                tile.scales = input->integers.scales + row;
                if (int16) {
                    tile.x16 = (const int16_t *)input->integers.values + tile.x_stride * (size_t)row;
                } else {
                    tile.x8 = (const int8_t *)input->integers.values + tile.x_stride * (size_t)row;
                    tile.starts = input->integers.starts + tile.x_stride / RK_GROUP * (size_t)row;
                }
            } else {
                tile.x_stride = input->stride;
                tile.x = input->x + tile.x_stride * (size_t)row;
            }
            run_tile(kernel, tile, row_count - panel * RK_PANEL, panel_bytes);
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
    for (int panel; (panel = rk_next_chunk(worker, divide_up(rows, RK_PANEL))) >= 0;) {
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
