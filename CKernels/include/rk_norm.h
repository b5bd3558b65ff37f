// Row-wise arithmetic on floats: layer norm, group norm with swish, GELU, softmax.
#ifndef RK_NORM_H
#define RK_NORM_H

#include <stddef.h>
#include <stdint.h>
#include "rk_math.h"
#include "rk_parallel.h"

typedef struct rk_norm_kernels {
    const char *name;
    // y = (x - mean) / sqrt(variance + epsilon) * weight + bias. Two passes: mean = sum(x) / n; variance = sum((x - mean)^2) / n
    // (sums in lanes, squares by fmaf); r = 1 / sqrtf(variance + epsilon); y = fmaf((x - mean) * r, weight, bias). y may be x.
    void (*layer_norm)(float *y, const float *x, const float *weight, const float *bias, int n, float epsilon);
    // y += layer_norm(x): the sandwich norm before a residual addition.
    void (*layer_norm_add)(float *y, const float *x, const float *weight, const float *bias, int n, float epsilon);
    // x / (1 + exp(-2u)), u = 0.7978845608028654 * x * (1 + 0.044715 x^2): the tanh form of GELU, in place. -2u is
    // x * fmaf(x * x, c3, c1); relative error below 2^-19 for x > -4, absolute below 2^-22 from there on.
    void (*gelu)(float *x, int n);
    // exp(x - max) in place, n >= 1; returns their sum (in lanes). The caller divides where it is cheapest.
    float (*softmax)(float *x, int n);
    // Sums and sums of squares of d = x - pivot[c] for each of `channels` over `pixels` pixels (stride floats apart), added to
    // sums[channels] and squares[channels]: for pixels ascending sum += d, square = fmaf(d, d, square). With any pixel as the pivot a
    // mean far from 0 costs no precision.
    void (*channel_sums)(float *sums, float *squares, const float *x, const float *pivot, int pixels, int channels, size_t stride);
    // y = x * scale[c] + shift[c] (fmaf), then y / (1 + exp(-y)) if swish. y may be x.
    void (*scale_shift)(float *y, const float *x, const float *scale, const float *shift, int pixels, int channels, int swish);
} rk_norm_kernels;

rk_norm_kernels rk_norm_kernels_for(uint32_t features);

// Of images [pixels][channels]: the channels of each group are normalized together.
typedef struct rk_group_norm {
    const float *weight, *bias; // [channels]
    int channels;
    int groups; // divides the channels
    float epsilon;
} rk_group_norm;

// Step: what a group norm makes of an image x, as a factor `scale` and a summand `shift` for each channel. Statistics: f32 sums of blocks of
// 64 pixels per channel about the first pixel, joined in double in block order, so they depend neither on threads nor on the CPU.
// scratch: rk_group_norm_scratch(pixels, channels) floats.
size_t rk_group_norm_scratch(int pixels, int channels);
void rk_group_norm_scales(rk_worker *worker, uint32_t features, const rk_group_norm *norm, float *scale, float *shift, const float *x, int pixels,
                          float *scratch);

// Step: scale_shift with these scales and shifts, without swish. y may be x.
void rk_group_norm_run(rk_worker *worker, uint32_t features, const rk_group_norm *norm, float *y, const float *x, int pixels, float *scratch);

#endif
