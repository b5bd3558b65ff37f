// The 256-bit VNNI kernels in the encoding of AVX-512, so that machines with AVX-512 but without AVX-VNNI can test them too.
#define RK_AVXVNNI_AS_AVX512
#include "matmul/matmul_avxvnni.c"

#if defined(__x86_64__)
extern const rk_matmul_kernels test_avxvnni_as_avx512;
const rk_matmul_kernels test_avxvnni_as_avx512 = {.name = "avxvnni*", .tile = {NULL, NULL, int8, int4}, .int16 = int16};
#endif
