// The arithmetic that all kernels share, and the order of sums that makes their results equal to the bit.
//
// A sum over n elements runs in RK_LANES = 16 lanes: lane j takes the elements j, j+16, j+32, ... in ascending order (a tail
// shorter than 16 goes into lanes 0, 1, ... the same way), each by fmaf where it is a product, by + otherwise, starting
// from 0; then for s = 8, 4, 2, 1: lane[j] += lane[j+s] for j < s; lane[0] is the sum. AVX-512 holds the lanes in one register,
// AVX2 in two, NEON in four.
#ifndef RK_MATH_H
#define RK_MATH_H

#include <stdint.h>

enum { RK_LANES = 16 };

// IEEE half precision (binary16) in memory.
typedef uint16_t rk_f16;

float rk_f16_to_f32(rk_f16 value);
rk_f16 rk_f16_from_f32(float value); // round to nearest even

// e^x, the same bits on every CPU: relative error below 2^-22 on [-87, 88]; smaller x gives e^-87.33..., larger e^88.37...
float rk_exp(float x);

#endif
