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

// The same for a sum of blocks of 16-bit x.
RK_TARGET RK_INLINE void store_int16(const rk_matmul_tile *tile, int panel, int row, int quarter, const float *w_scales, float32x4_t acc) {
    const float32x4_t scale = vmulq_n_f32(vld1q_f32(w_scales + 4 * quarter), tile->scales[row]);
    const float32x4_t bias = tile->bias ? vld1q_f32(tile->bias + panel * RK_PANEL + 4 * quarter) : vdupq_n_f32(0);
    vst1q_f32(rk_tile_out(tile, panel, row) + 4 * quarter, vfmaq_f32(bias, acc, scale));
}

// 16-bit x is 256 times a coarse byte plus a fine one, both signed.
RK_TARGET RK_INLINE int16x8_t rounded_up(int16x8_t x) { return vaddq_s16(x, vdupq_n_s16(128)); }
RK_TARGET RK_INLINE int32x4_t joined(int32x4_t coarse, int32x4_t fine) { return vaddq_s32(vshlq_n_s32(coarse, 8), fine); }
