// The instruction sets of rk_matmul.h. A NULL slot leaves the one below in place. AVX-512's own are made for Zen 4.
#ifndef MATMUL_H
#define MATMUL_H

#include "../internal.h"

extern const rk_matmul_kernels rk_matmul_scalar;
extern const rk_matmul_kernels rk_matmul_avx2, rk_matmul_avxvnni, rk_matmul_avx512, rk_matmul_avx512_intel, rk_matmul_avx512_zen5;
extern const rk_matmul_kernels rk_matmul_neon, rk_matmul_dotprod, rk_matmul_i8mm;

// Up to so many rows of x ask for int4 weights into the second-level cache, on Zen 4.
enum { RK_INT4_FAR = 6 };

RK_INLINE const void *rk_tile_panel(const rk_matmul_tile *tile, rk_type type, int panel) {
    return (const char *)tile->weights + rk_panel_bytes(type, tile->columns) * (size_t)panel;
}

RK_INLINE const int8_t *rk_tile_x8(const rk_matmul_tile *tile, int row) { return tile->x8 + tile->x_stride * (size_t)row; }

RK_INLINE const int16_t *rk_tile_x16(const rk_matmul_tile *tile, int row) { return tile->x16 + tile->x_stride * (size_t)row; }

RK_INLINE size_t rk_starts_stride(const rk_matmul_tile *tile) { return tile->x_stride / RK_GROUP; }

RK_INLINE const int32_t *rk_tile_starts(const rk_matmul_tile *tile, int row) { return tile->starts + rk_starts_stride(tile) * (size_t)row; }

// Minus 128 times the sum of all columns of a row of x: where products with int8 start whose weights were made unsigned.
RK_INLINE int32_t rk_tile_start(const rk_matmul_tile *tile, int row) {
    const int32_t *starts = rk_tile_starts(tile, row);
    int32_t sum = 0;
    for (int group = 0; group < tile->columns / RK_GROUP; group++) sum += starts[group];
    return 128 / 8 * sum;
}

// A group's 16 half scales and its 256 bytes of nibbles, in the blocks of an int4 panel: of two groups each.
enum { RK_GROUP_BYTES = 32 + 256 };
RK_INLINE const uint8_t *rk_group_scales(const uint8_t *blocks, size_t group) { return blocks + group / 2 * 2 * RK_GROUP_BYTES + group % 2 * 32; }

RK_INLINE const uint8_t *rk_group_weights(const uint8_t *blocks, size_t group) {
    return blocks + group / 2 * 2 * RK_GROUP_BYTES + 64 + group % 2 * 256;
}

RK_INLINE float *rk_tile_out(const rk_matmul_tile *tile, int panel, int row) {
    return tile->out + tile->out_stride * (size_t)row + (size_t)panel * RK_PANEL;
}

// A row of int8 as groups of 4 columns, as the broadcasts of the dot products want it.
RK_INLINE int32_t rk_columns4(const int8_t *x) {
    int32_t columns;
    memcpy(&columns, x, sizeof columns);
    return columns;
}

// Cuts `tile` into panels times at most `largest` rows of x and makes each a CALL(rows) with a constant number of rows, the
// variables `panel` and `first` in scope. `largest` is one of the numbers that RK_CASES_ has.
#define RK_FOR_TILES(tile, largest, CALL)                                                                                        \
    for (int panel = 0; panel < (tile)->panels; panel++) { RK_FOR_ROWS((tile)->count, largest, CALL) }

// Few rows of x wait for memory. The processor fetches ahead in each of several streams by itself, and two cores read 1.1 times as much from
// four streams each as from one (Zen 3; fetching by instruction reads less than either). So the panels are taken `streams` at once, in turns of one
// or a few cache lines of each: `panel` and those that lie `apart` panels after it and after each other. CALL(tile, panel, apart, streams, ...), and
// CALL(tile, panel, 1, 1, ...) for those that are left.
#define RK_FOR_STREAMS(tile, streams, CALL, ...)                                                                                 \
    {                                                                                                                            \
        const int apart = (tile)->panels / (streams);                                                                            \
        for (int panel = 0; panel < apart; panel++) CALL(tile, panel, apart, streams, ##__VA_ARGS__);                            \
        for (int panel = (streams) * apart; panel < (tile)->panels; panel++) CALL(tile, panel, 1, 1, ##__VA_ARGS__);             \
    }

// Likewise with a last argument, a constant: whether the kernel asks for weights ahead. Tested within its loop, that would part the loop's body.
#define RK_FOR_STREAMS_AHEAD(tile, streams, CALL)                                                                                \
    if ((tile)->ahead) RK_FOR_STREAMS(tile, streams, CALL, 1)                                                                    \
    else RK_FOR_STREAMS(tile, streams, CALL, 0)

#if defined(__x86_64__)
// Asks for the lines of the `bytes` that lie `ahead` bytes after p. Past the end of the weights it is harmless.
RK_INLINE void rk_prefetch(const void *p, int ahead, int bytes) {
    RK_UNROLL
    for (int line = 0; line < bytes; line += 64) _mm_prefetch((const char *)p + ahead + line, _MM_HINT_T0);
}

// How far ahead a kernel asks for weights that no cache holds. Several rows of x keep the processor from looking ahead itself: for them `few` bytes.
RK_INLINE int rk_ahead(const rk_matmul_tile *tile, int rows, int few) { return rows > 1 ? few : tile->ahead; }

// What is wanted next, asked for in as many pieces as there are register tiles: the one of the rows first ..< end of `rows`.
RK_INLINE void rk_prefetch_share(const uint8_t *next, size_t bytes, int first, int end, int rows) {
    for (size_t line = bytes * (size_t)first / (size_t)rows / 64 * 64; line < bytes * (size_t)end / (size_t)rows; line += 64) {
        rk_prefetch(next + line, 0, 64);
    }
}

// What a register tile asks for while it is computed: `step` bytes more for each line, or part of one, of its own panel.
typedef struct rk_share {
    const char *at;
    int step;
} rk_share;

// Many rows of x: several register tiles together ask for the panel that comes after the `panels` from `panel` on, so that memory never rests. This is
// the share of the rows first ..< first + rows, for every `part` bytes of their own. After the last panel nothing comes that this worker would read.
RK_INLINE rk_share rk_share_of_next(const rk_matmul_tile *tile, rk_type type, int panel, int panels, int first, int rows, int part) {
    const char *own = rk_tile_panel(tile, type, panel);
    const size_t bytes = rk_panel_bytes(type, tile->columns);
    if (panel + panels >= tile->panels) return (rk_share){own, 0};
    return (rk_share){own + bytes * (size_t)panels + bytes * (size_t)first / (size_t)tile->count, rk_divide_up(part * rows, tile->count)};
}

// In each of `panels` panels that lie `stream` bytes apart.
RK_INLINE void rk_ask(rk_share *share, size_t stream, int panels) {
    for (int p = 0; p < panels; p++) rk_prefetch(share->at + stream * (size_t)p, 0, 64);
    share->at += share->step;
}

// The biases of these panels, which no cache holds either and which are wanted last.
RK_INLINE void rk_prefetch_biases(const rk_matmul_tile *tile, int panel, int apart, int panels) {
    for (int p = 0; p < panels && tile->bias; p++) _mm_prefetch((const char *)(tile->bias + (panel + p * apart) * RK_PANEL), _MM_HINT_T0);
}
#endif

#endif
