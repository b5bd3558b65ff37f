#include "attention.h"

#if defined(__x86_64__)
#define RK_TARGET RK_TARGET_AVX2
#define RK_SOFTMAX rk_norm_avx2.softmax
#define RK_KEY_LANES 8
#define RK_KEY_PRODUCTS(a, b) (key_integers)_mm256_madd_epi16((__m256i)(a), (__m256i)(b))
#define RK_VALUE_QUERIES 4
#define RK_VALUE_BLOCKS 1
#define RK_FEW_QUERIES 0
#include "attention_lanes.h"

const rk_attention_kernels rk_attention_avx2 = RK_ATTENTION_KERNELS("avx2");
#endif
