// The instruction sets of rk_matmul.h. A NULL slot leaves the one below in place. AVX-512's own are made for Zen 4.
#ifndef MATMUL_H
#define MATMUL_H

#include "../internal.h"

extern const rk_matmul_kernels rk_matmul_scalar;
extern const rk_matmul_kernels rk_matmul_avx2, rk_matmul_avxvnni, rk_matmul_avx512, rk_matmul_avx512_intel, rk_matmul_avx512_zen5;
extern const rk_matmul_kernels rk_matmul_neon, rk_matmul_dotprod, rk_matmul_i8mm;

// Up to so many rows of x prefetch int4 weights into L2, on Zen 4.
enum { RK_INT4_L2_ROWS = 6 };

RK_INLINE const void *rk_tile_panel(const rk_matmul_tile *tile, rk_type type, int panel) {
    return (const char *)tile->weights + rk_panel_bytes(type, tile->columns) * (size_t)panel;
}

RK_INLINE const int8_t *rk_tile_x8(const rk_matmul_tile *tile, int row) { return tile->x8 + tile->x_stride * (size_t)row; }

RK_INLINE const int16_t *rk_tile_x16(const rk_matmul_tile *tile, int row) { return tile->x16 + tile->x_stride * (size_t)row; }

RK_INLINE size_t rk_starts_stride(const rk_matmul_tile *tile) { return tile->x_stride / RK_GROUP; }

RK_INLINE const int32_t *rk_tile_starts(const rk_matmul_tile *tile, int row) { return tile->starts + rk_starts_stride(tile) * (size_t)row; }

RK_INLINE const float *rk_tile_scales(const rk_matmul_tile *tile, int row) { return tile->scales + tile->scales_stride * (size_t)row; }

// Blocks of an int4 panel: the scales of four groups, then their nibbles, 256 bytes each.
enum { RK_BLOCK_GROUPS = RK_INT4_BLOCK / RK_GROUP, RK_GROUP_BYTES = RK_PANEL + RK_PANEL * RK_GROUP / 2 };
RK_INLINE const uint8_t *rk_tile_blocks(const rk_matmul_tile *tile, int panel) {
    return (const uint8_t *)rk_tile_panel(tile, RK_INT4, panel) + RK_PANEL * sizeof(float);
}

// The scales of an even group and the next one: of each row both, side by side.
RK_INLINE const int8_t *rk_pair_scales(const uint8_t *blocks, size_t group) {
    return (const int8_t *)blocks + group / RK_BLOCK_GROUPS * RK_BLOCK_GROUPS * RK_GROUP_BYTES + group % RK_BLOCK_GROUPS * RK_PANEL;
}

RK_INLINE const uint8_t *rk_group_weights(const uint8_t *blocks, size_t group) {
    return blocks + group / RK_BLOCK_GROUPS * RK_BLOCK_GROUPS * RK_GROUP_BYTES + 64 + group % RK_BLOCK_GROUPS * 256;
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

#endif
