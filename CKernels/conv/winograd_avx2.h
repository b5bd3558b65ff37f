// Winograd's transform on registers of 256 bits. The includer defines RK_TARGET and RK_MADD16, one of madd.h.
#define RK_WINOGRAD_ROWS 6
#define RK_WINOGRAD_PANELS 1
#define RK_WINOGRAD_LANES 8
#include "../madd.h"
#include "winograd_lanes.h"

RK_LANES_INLINE v8_int round_lanes(v8 x) { return (v8_int)_mm256_cvtps_epi32((__m256)x); }

RK_LANES_INLINE __m256i to_int16(v16 x) {
    const __m256i low = _mm256_cvtps_epi32((__m256)v16_low((v16_int)x)), high = _mm256_cvtps_epi32((__m256)v16_high((v16_int)x));
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
}

RK_LANES_INLINE void store_int16(void *to, v16 low, v16 high) {
    _mm256_storeu_si256((__m256i *)to, to_int16(low));
    _mm256_storeu_si256((__m256i *)to + 1, to_int16(high));
}

// All lanes of x are the same.
RK_LANES_INLINE v16_int madd16(v16_int sum, v16_int w, v16_int x) {
    const __m256i same = (__m256i)v16_low(x);
    const v8_int low = (v8_int)RK_MADD16((__m256i)v16_low(sum), (__m256i)v16_low(w), same);
    const v8_int high = (v8_int)RK_MADD16((__m256i)v16_high(sum), (__m256i)v16_high(w), same);
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
#include "winograd_int16.h"
