#include "internal.h"

float rk_f16_to_f32(rk_f16 value) {
    uint32_t sign = (uint32_t)(value & 0x8000) << 16;
    uint32_t magnitude = value & 0x7fff;
    if (magnitude < 0x0400) { // zero or subnormal: an integer multiple of 2^-24
        return rk_float(sign | rk_bits((float)magnitude * 0x1p-24f));
    }
    if (magnitude > 0x7c00) {
        return rk_float(sign | 0x7fc00000 | magnitude << 13);
    }
    return rk_float(sign | (magnitude == 0x7c00 ? 0x7f800000 : (magnitude << 13) + ((127 - 15) << 23)));
}

rk_f16 rk_f16_from_f32(float value) {
    uint32_t bits = rk_bits(value);
    uint32_t sign = bits >> 16 & 0x8000;
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
        return (rk_f16)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    }
    if (magnitude >= 0x47800000) { // 65536 and more
        return (rk_f16)(sign | 0x7c00);
    }
    if (magnitude < 0x38800000) { // below 2^-14: adding 0.5 leaves multiples of 2^-24 in the mantissa, rounded
        return (rk_f16)(sign | (rk_bits(rk_float(magnitude) + 0.5f) - 0x3f000000));
    }
    uint32_t odd = magnitude >> 13 & 1; // a carry out of the mantissa gives the next exponent, and infinity from 65520 on
    return (rk_f16)(sign | (magnitude - ((127 - 15) << 23) + 0xfff + odd) >> 13);
}

float rk_exp(float x) {
    x = x > RK_EXP_MIN ? x : RK_EXP_MIN;
    x = x < RK_EXP_MAX ? x : RK_EXP_MAX;
    float n = rintf(x * RK_EXP_LOG2E);
    float r = fmaf(-n, RK_EXP_LN2_HIGH, x);
    r = fmaf(-n, RK_EXP_LN2_LOW, r);
    float p = RK_EXP_C7;
    p = fmaf(p, r, RK_EXP_C6);
    p = fmaf(p, r, RK_EXP_C5);
    p = fmaf(p, r, RK_EXP_C4);
    p = fmaf(p, r, RK_EXP_C3);
    p = fmaf(p, r, RK_EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    return p * rk_float((uint32_t)((int32_t)n + 127) << 23);
}
