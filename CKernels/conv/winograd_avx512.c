#include "conv.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX512
#define RK_WINOGRAD_ROWS 8
#define RK_WINOGRAD_PANELS 2
#define RK_WINOGRAD_LANES 16
#include "../madd.h"
#include "winograd_lanes.h"
#include "winograd_floats.h"

RK_LANES_INLINE v16_int round_lanes(v16 x) { return (v16_int)_mm512_cvtps_epi32((__m512)x); }

RK_LANES_INLINE void store_int16(void *to, v16 low, v16 high) {
    const __m512i mixed = _mm512_packs_epi32((__m512i)round_lanes(low), (__m512i)round_lanes(high));
    _mm512_storeu_si512(to, _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), mixed));
}

RK_LANES_INLINE v16_int madd16(v16_int sum, v16_int w, v16_int x) {
    return (v16_int)rk_madd16_avx512((__m512i)sum, (__m512i)w, (__m512i)x);
}
#include "winograd_int16.h"

const rk_conv_kernels rk_conv_avx512 = RK_WINOGRAD_KERNELS("avx512"), rk_conv_avx512_int16 = RK_WINOGRAD_INT16_KERNELS("avx512");
#endif
