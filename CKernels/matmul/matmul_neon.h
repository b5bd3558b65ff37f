// What the ARM kernels share: a panel's rows are four registers. The includer defines RK_TARGET.
#include "matmul.h"

RK_TARGET RK_INLINE float32x4_t load_halves(const void *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }

// Four columns of a row of x, for four rows of the panel.
RK_TARGET RK_INLINE int8x16_t broadcast4(const int8_t *x) {
    int8x16_t columns = vreinterpretq_s8_s32(vdupq_n_s32(rk_columns4(x)));
    // A compiler that sees that both halves are equal prefers moving the weights' high half down to multiplying high halves.
    __asm__("" : "+w"(columns));
    return columns;
}

// A group's integer sum i is kept as the bits of the float 1.5 * 2^23 + i, so that it becomes a float by one subtraction, exact as
// |i| < 2^22: cheaper here than a conversion. It starts from minus 8 times the sum of x, as the weights are stored plus 8.
RK_TARGET RK_INLINE int32_t group_start(const int32_t *negated_sum) { return 0x4b400000 + *negated_sum * 8; }
RK_TARGET RK_INLINE float32x4_t group_float(int32x4_t sum) { return vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(0x1.8p23f)); }

// Weights plus 8, of the near and the far 4 columns.
RK_TARGET RK_INLINE int8x16_t low_nibbles(uint8x16_t pair) { return vreinterpretq_s8_u8(vandq_u8(pair, vdupq_n_u8(15))); }
RK_TARGET RK_INLINE int8x16_t high_nibbles(uint8x16_t pair) { return vreinterpretq_s8_u8(vshrq_n_u8(pair, 4)); }

RK_TARGET RK_INLINE void store_int8(const rk_matmul_tile *tile, int panel, int row, int quarter, const float *w_scales, int32x4_t sum) {
    const float32x4_t scale = vmulq_n_f32(vld1q_f32(w_scales + 4 * quarter), tile->scales[row]);
    const float32x4_t bias = tile->bias ? vld1q_f32(tile->bias + panel * RK_PANEL + 4 * quarter) : vdupq_n_f32(0);
    vst1q_f32(rk_tile_out(tile, panel, row) + 4 * quarter, vfmaq_f32(bias, vcvtq_f32_s32(sum), scale));
}

RK_TARGET RK_INLINE void store_int4(const rk_matmul_tile *tile, int panel, int row, int quarter, float32x4_t acc) {
    const float32x4_t bias = tile->bias ? vld1q_f32(tile->bias + panel * RK_PANEL + 4 * quarter) : vdupq_n_f32(0);
    vst1q_f32(rk_tile_out(tile, panel, row) + 4 * quarter, vfmaq_n_f32(bias, acc, tile->scales[row]));
}

// Many rows of x share the unpacking of int4: some groups of a panel at a time become bytes and floats, which stay in the first-level
// cache while all rows of x pass by. Between them a row's sums wait in `out`.
enum { STRETCH = 8 };
typedef struct unpacked {
    int8_t weights[STRETCH * 8][64]; // 4 columns of the panel each, plus 8
    float scales[STRETCH][RK_PANEL];
    int group, groups, last;         // the first one, how many, whether they end the panel
} unpacked;

RK_TARGET RK_INLINE void unpack(unpacked *to, const rk_matmul_tile *tile, int panel, int group) {
    const int groups = tile->columns / RK_GROUP;
    to->group = group;
    to->groups = rk_min(STRETCH, groups - group);
    to->last = group + to->groups == groups;
    const uint8_t *blocks = rk_tile_panel(tile, RK_INT4, panel);
    for (int g = 0; g < to->groups; g++) {
        const uint8_t *block = blocks + (group + g) / 2 * 576;
        const uint8_t *scales = block + (group + g) % 2 * 32, *pairs = block + 64 + (group + g) % 2 * 256;
        for (int quarter = 0; quarter < 4; quarter++) {
            vst1q_f32(&to->scales[g][4 * quarter], load_halves(scales + 8 * quarter));
            for (int c = 0; c < 4; c++) {
                const uint8x16_t pair = vld1q_u8(pairs + 64 * c + 16 * quarter);
                vst1q_s8(&to->weights[8 * g + 2 * c][16 * quarter], low_nibbles(pair));
                vst1q_s8(&to->weights[8 * g + 2 * c + 1][16 * quarter], high_nibbles(pair));
            }
        }
    }
}

RK_TARGET RK_INLINE float32x4_t load_acc(const rk_matmul_tile *tile, const unpacked *from, int panel, int row, int quarter) {
    return from->group ? vld1q_f32(rk_tile_out(tile, panel, row) + 4 * quarter) : vdupq_n_f32(0);
}

RK_TARGET RK_INLINE void store_acc(const rk_matmul_tile *tile, const unpacked *from, int panel, int row, int quarter, float32x4_t acc) {
    if (from->last) store_int4(tile, panel, row, quarter, acc);
    else vst1q_f32(rk_tile_out(tile, panel, row) + 4 * quarter, acc);
}
