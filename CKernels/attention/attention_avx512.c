#include "attention.h"

#if defined(__x86_64__)
#include "../madd.h"

#define RK_TARGET RK_TARGET_AVX512
#define RK_KEY_LANES 16
#define RK_ADD_PRODUCTS(sum, a, b) (key_integers)rk_madd16_avx512((__m512i)(sum), (__m512i)(a), (__m512i)(b))
#define RK_VALUE_QUERIES 6
#define RK_VALUE_BLOCKS 4
#define RK_FEW_QUERIES 8
#include "attention_lanes.h"

const rk_attention_kernels rk_attention_avx512 = RK_ATTENTION_KERNELS("avx512");
#endif
