#include "attention.h"

#if defined(__x86_64__)
#include "../madd.h"

#define RK_TARGET RK_TARGET_AVX2
#define RK_KEY_LANES 8
#define RK_ADD_PRODUCTS(sum, a, b) (key_integers)rk_madd16_avx2((__m256i)(sum), (__m256i)(a), (__m256i)(b))
#define RK_VALUE_QUERIES 4
#define RK_VALUE_BLOCKS 1
#define RK_FEW_QUERIES 0
#include "attention_lanes.h"

const rk_attention_kernels rk_attention_avx2 = RK_ATTENTION_KERNELS("avx2");
#endif
