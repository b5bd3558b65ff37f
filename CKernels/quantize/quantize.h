#ifndef QUANTIZE_H
#define QUANTIZE_H

#include "../internal.h"

extern const rk_quantize_kernels rk_quantize_scalar, rk_quantize_avx2, rk_quantize_avx512, rk_quantize_neon;

// A largest magnitude below this has no finite 127 / max or 32512 / max: such a row counts as zeros.
#define RK_INT8_SMALLEST 0x1p-120f
#define RK_INT16_SMALLEST 0x1p-112f

// Whether a row with this largest magnitude has a scale; `smallest` is one of the above.
RK_INLINE int rk_is_quantizable(float largest, float smallest) { return largest >= smallest && largest < INFINITY; }

// Between the ends of a row's range; their sum may have no float. Never -0.
RK_INLINE float rk_middle(float least, float most) { return 0.5f * least + 0.5f * most + 0.0f; }

// The offset of a row whose largest distance from the middle is this: none where that is no number.
RK_INLINE float rk_offset(float middle, float largest) { return largest < INFINITY ? middle : 0; }

// The scale of a row that has none.
RK_INLINE float rk_no_scale(float largest, float smallest) { return largest < smallest ? 0 : NAN; }

#endif
