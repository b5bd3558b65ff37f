// Products of many rows of x with int4 by VNNI: GROUPS groups of a panel are unpacked into L1, once for all of them. The includer
// defines RK_TARGET, RK_UNPACKED_ROWS, the rows of x in a register tile, and madd8(sum, w, x) and madd16(sum, w, x), as in madd.h, on sixteen lanes.
#include "../lanes.h"
#include "matmul_prefetch.h"

typedef uint8_t v64_bytes __attribute__((vector_size(64)));

enum { GROUPS = 32 };
typedef struct unpacked {
    v64_bytes weights[GROUPS][8]; // by 4 columns
    v16_int scales[GROUPS]; // in the low words
} unpacked;

RK_LANES_INLINE void unpack(unpacked *u, const uint8_t *blocks, size_t from, size_t count) {
    for (size_t group = 0; group < count; group++) {
        RK_UNROLL
        for (int c = 0; c < 4; c++) {
            v64_bytes pairs;
            memcpy(&pairs, rk_group_weights(blocks, from + group) + 64 * c, sizeof pairs);
            u->weights[group][2 * c] = pairs & 15;
            u->weights[group][2 * c + 1] = pairs >> 4;
        }
        const int8_t *scales = rk_pair_scales(blocks, from + group / 2 * 2) + group % 2;
        for (int r = 0; r < RK_PANEL; r++) u->scales[group][r] = scales[2 * r] & 0xffff;
    }
}

// out holds the sums of the groups before `from`, as integers, and takes the product when these are the last.
RK_LANES_INLINE void unpacked_rows(const rk_matmul_tile *tile, const unpacked *u, int panel, size_t from, size_t count, int first, const int rows) {
    const int8_t *x = rk_tile_x8(tile, first) + from * RK_GROUP;
    const int32_t *starts = rk_tile_starts(tile, first) + from;
    v16_int acc[RK_UNPACKED_ROWS];
    for (int t = 0; t < rows; t++) {
        if (from) memcpy(&acc[t], rk_tile_out(tile, panel, first + t), sizeof acc[t]);
        else acc[t] = (v16_int){0};
    }
    for (size_t group = 0; group < count; group++, x += RK_GROUP) {
        v16_int sum[RK_UNPACKED_ROWS];
        for (int t = 0; t < rows; t++) sum[t] = starts[rk_starts_stride(tile) * (size_t)t + group] - (v16_int){0};
        RK_UNROLL
        for (int c = 0; c < 8; c++) {
            const v64_bytes weights = u->weights[group][c];
            RK_UNROLL
            for (int t = 0; t < rows; t++)
                sum[t] = madd8(sum[t], (v16_int)weights, rk_columns4(x + tile->x_stride * (size_t)t + 4 * c) - (v16_int){0});
        }
        RK_UNROLL
        for (int t = 0; t < rows; t++) acc[t] = madd16(acc[t], sum[t], u->scales[group]);
    }
    const v16 w_scales = v16_load(rk_tile_panel(tile, RK_INT4, panel));
    const v16 bias = tile->bias ? v16_load(tile->bias + panel * RK_PANEL) : v16_splat(0);
    const int is_last = from + count == (size_t)tile->columns / RK_GROUP;
    for (int t = 0; t < rows; t++) {
        float *out = rk_tile_out(tile, panel, first + t);
        if (is_last) v16_store(out, v16_fma(__builtin_convertvector(acc[t], v16), v16_splat(tile->scales[first + t]) * w_scales, bias));
        else memcpy(out, &acc[t], sizeof acc[t]);
    }
}

#define UNPACKED(n)                                                                                                              \
    unpacked_rows(tile, &u, panel, from, count, first, n);                                                                       \
    rk_prefetch_row_shares(blocks + (from + count) * RK_GROUP_BYTES, share, first, first + n)

RK_TARGET static void int4_many(const rk_matmul_tile *tile) {
    unpacked u;
    const size_t groups = (size_t)tile->columns / RK_GROUP;
    for (int panel = 0; panel < tile->panels; panel++) {
        const uint8_t *blocks = rk_tile_blocks(tile, panel);
        for (size_t from = 0; from < groups; from += GROUPS) {
            const size_t count = groups - from < GROUPS ? groups - from : GROUPS;
            const size_t share = rk_row_share(count * RK_GROUP_BYTES, tile->count);
            unpack(&u, blocks, from, count);
            RK_FOR_ROWS(tile->count, RK_UNPACKED_ROWS, UNPACKED)
        }
    }
}
