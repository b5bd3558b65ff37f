// What the ARM kernels share: a panel's rows are four registers. The includer defines RK_TARGET.
#include "matmul.h"

RK_TARGET RK_INLINE float32x4_t load_f16(const void *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }

// Four columns of a row of x, for four rows of the panel.
RK_TARGET RK_INLINE int8x16_t broadcast4(const int8_t *x) {
    int8x16_t columns = vreinterpretq_s8_s32(vdupq_n_s32(rk_columns4(x)));
    // A compiler that sees that both halves are equal prefers moving the weights' high half down to multiplying high halves.
    __asm__("" : "+w"(columns));
    return columns;
}

// The same value, opaque to the compiler: broadcasting it again goes beside the products, copying the broadcast would take the place of one.
RK_INLINE uint64_t opaque(uint64_t value) {
    __asm__ volatile("" : "+r"(value));
    return value;
}

// A group's scales and weights at once. From two calls the compiler makes four or five instructions more for every group: each call is simplified
// by itself before both are inlined, and then they share less. The scales of two groups alternate byte by byte: of the 16 bits of a row from
// `scales` on, the high byte is its scale. For an even group they begin with the byte before the pair's.
typedef struct group_data {
    const uint8_t *scales, *weights;
} group_data;

RK_INLINE group_data find_group(const uint8_t *blocks, size_t group) {
    const size_t in_block = group % RK_BLOCK_GROUPS;
    const uint8_t *block = blocks + group / RK_BLOCK_GROUPS * (RK_BLOCK_GROUPS * RK_GROUP_BYTES);
    return (group_data){block + in_block / 2 * (2 * RK_PANEL) + in_block % 2 - 1, block + RK_BLOCK_GROUPS * RK_PANEL + in_block * 256};
}

// Of 8 rows.
RK_TARGET RK_INLINE int16x8_t load_scales(group_data group, int half) {
    return vshrq_n_s16(vreinterpretq_s16_u8(vld1q_u8(group.scales + 16 * half)), 8);
}

// A group's sums times its scales, of 8 rows of the panel: as products of 16 bits, which the sums fit in, since Cortex-A72 and A76 multiply only
// half as many 32-bit integers per cycle.
RK_TARGET RK_INLINE void add_group(int32x4_t acc[2], int16x8_t sum, int16x8_t scales) {
    acc[0] = vmlal_s16(acc[0], vget_low_s16(sum), vget_low_s16(scales));
    acc[1] = vmlal_high_s16(acc[1], sum, scales);
}

// Weights plus 8, of the near and the far 4 columns.
RK_TARGET RK_INLINE int8x16_t low_nibbles(uint8x16_t pair) { return vreinterpretq_s8_u8(vandq_u8(pair, vdupq_n_u8(15))); }
RK_TARGET RK_INLINE int8x16_t high_nibbles(uint8x16_t pair) { return vreinterpretq_s8_u8(vshrq_n_u8(pair, 4)); }

RK_TARGET RK_INLINE float32x4_t load_bias(const rk_matmul_tile *tile, int panel, int quarter) {
    return tile->bias ? vld1q_f32(tile->bias + panel * RK_PANEL + 4 * quarter) : vdupq_n_f32(0);
}

RK_TARGET RK_INLINE void store_int8(const rk_matmul_tile *tile, int panel, int row, int quarter, const float *w_scales, float32x4_t acc) {
    const float32x4_t bias = load_bias(tile, panel, quarter);
    vst1q_f32(rk_tile_out(tile, panel, row) + 4 * quarter, vfmaq_f32(bias, acc, vld1q_f32(w_scales + 4 * quarter)));
}

RK_TARGET RK_INLINE void store_int16(const rk_matmul_tile *tile, int panel, int row, int quarter, const float *w_scales, float32x4_t acc) {
    const float32x4_t scale = vmulq_n_f32(vld1q_f32(w_scales + 4 * quarter), tile->scales[row]);
    vst1q_f32(rk_tile_out(tile, panel, row) + 4 * quarter, vfmaq_f32(load_bias(tile, panel, quarter), acc, scale));
}

RK_TARGET RK_INLINE void store_int4(const rk_matmul_tile *tile, int panel, int row, int quarter, int32x4_t acc) {
    store_int16(tile, panel, row, quarter, rk_tile_panel(tile, RK_INT4, panel), vcvtq_f32_s32(acc));
}

// The end of a block of int8.
RK_TARGET RK_INLINE float32x4_t add_block(float32x4_t acc, int32x4_t sum, float scale) { return vfmaq_n_f32(acc, vcvtq_f32_s32(sum), scale); }

// 16-bit x is 256 times a coarse byte plus a fine one, both signed.
RK_TARGET RK_INLINE int16x8_t rounded_up(int16x8_t x) { return vaddq_s16(x, vdupq_n_s16(128)); }
RK_TARGET RK_INLINE int32x4_t joined(int32x4_t coarse, int32x4_t fine) { return vaddq_s32(vshlq_n_s32(coarse, 8), fine); }

// Rows r, r+1 (and r+2, r+3) by 8 columns, from two registers of 4 rows by 4 columns.
RK_TARGET RK_INLINE int8x16_t first_rows(int8x16_t near, int8x16_t far) {
    return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(near), vreinterpretq_s32_s8(far)));
}

RK_TARGET RK_INLINE int8x16_t last_rows(int8x16_t near, int8x16_t far) {
    return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(near), vreinterpretq_s32_s8(far)));
}

// Many rows of x share the unpacking of int4: some groups of a panel at a time become bytes and wider scales, which stay in L1 while all rows of x
// pass by. Between them a row's sums wait in `out`, as bits.
enum { UNPACKED_GROUPS = 8, GROUP_BYTES = RK_GROUP * RK_PANEL };
typedef struct unpacked {
    int8_t weights[UNPACKED_GROUPS * GROUP_BYTES]; // plus 8; 4 columns of the 16 rows, or 8 columns of the 8 pairs of rows, then the next
    union {
        int16_t scales[UNPACKED_GROUPS * RK_PANEL];
        int32_t pair_scales[UNPACKED_GROUPS * 2 * RK_PANEL]; // where rows are paired: of each row twice
    };
    int group, groups, last; // the first one, how many, whether they end the panel
} unpacked;

RK_TARGET RK_INLINE void unpack(unpacked *to, const rk_matmul_tile *tile, int panel, int group, const int row_pairs) {
    const int groups = tile->columns / RK_GROUP;
    to->group = group;
    to->groups = rk_min(UNPACKED_GROUPS, groups - group);
    to->last = group + to->groups == groups;
    const uint8_t *blocks = rk_tile_blocks(tile, panel);
    for (int g = 0; g < to->groups; g++) {
        const group_data from = find_group(blocks, (size_t)(group + g));
        int8_t *weights = to->weights + GROUP_BYTES * g;
        for (int half = 0; half < 2; half++) {
            const int16x8_t s = load_scales(from, half);
            if (row_pairs) {
                int32_t *scales = to->pair_scales + 2 * RK_PANEL * g + RK_PANEL * half;
                const int16x8_t twice[2] = {vzip1q_s16(s, s), vzip2q_s16(s, s)};
                for (int i = 0; i < 2; i++) {
                    vst1q_s32(scales + 8 * i, vmovl_s16(vget_low_s16(twice[i])));
                    vst1q_s32(scales + 8 * i + 4, vmovl_high_s16(twice[i]));
                }
            } else {
                vst1q_s16(to->scales + RK_PANEL * g + 8 * half, s);
            }
        }
        for (int quarter = 0; quarter < 4; quarter++) {
            for (int c = 0; c < 4; c++) {
                const uint8x16_t pair = vld1q_u8(from.weights + 64 * c + 16 * quarter);
                const int8x16_t near = low_nibbles(pair), far = high_nibbles(pair);
                int8_t *w = weights + 128 * c + (row_pairs ? 32 : 16) * quarter;
                vst1q_s8(w, row_pairs ? first_rows(near, far) : near);
                vst1q_s8(w + (row_pairs ? 16 : 64), row_pairs ? last_rows(near, far) : far);
            }
        }
    }
}

RK_TARGET RK_INLINE int32x4_t load_acc(const rk_matmul_tile *tile, const unpacked *from, int panel, int row, int quarter) {
    return from->group ? vreinterpretq_s32_f32(vld1q_f32(rk_tile_out(tile, panel, row) + 4 * quarter)) : vdupq_n_s32(0);
}

RK_TARGET RK_INLINE void store_acc(const rk_matmul_tile *tile, const unpacked *from, int panel, int row, int quarter, int32x4_t acc) {
    if (from->last) store_int4(tile, panel, row, quarter, acc);
    else vst1q_f32(rk_tile_out(tile, panel, row) + 4 * quarter, vreinterpretq_f32_s32(acc));
}
