// Pillow's BILINEAR resize of 8-bit RGB, equal to the byte: a triangle filter widened when it shrinks, fixed-point coefficients,
// a horizontal pass into bytes, then a vertical one.
#ifndef RK_RESIZE_H
#define RK_RESIZE_H

#include <stddef.h>
#include <stdint.h>

// Bytes of scratch for rk_resize_rgb. Sides are 1 or more.
size_t rk_resize_scratch(int in_side, int out_side);

// Resizes the square of in_side pixels whose first pixel is `in` (row_bytes between rows, 3 bytes a pixel) to out[out_side][out_side][3].
// out, in and scratch do not overlap; scratch is aligned to 16 bytes.
void rk_resize_rgb(uint8_t *out, int out_side, const uint8_t *in, size_t row_bytes, int in_side, void *scratch);

#endif
