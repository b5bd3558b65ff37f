// The inner loops that mca.py looks at, each in a function of its own with the number of rows of x fixed: the kernels' own code, included.
// The rest, of Winograd, attention and the quantizer, are functions already.
#if defined(KERNELS_NEON)
#include "matmul/matmul_neon.c"
#elif defined(KERNELS_DOTPROD)
#include "matmul/matmul_dotprod.c"
#elif defined(KERNELS_I8MM)
#include "matmul/matmul_i8mm.c"
#elif defined(KERNELS_ATTENTION)
#include "attention/attention_neon.c"
#elif defined(KERNELS_ATTENTION_DOTPROD)
#include "attention/attention_dotprod.c"
#elif defined(KERNELS_CONV)
#include "conv/winograd_neon.c"
#elif defined(KERNELS_QUANTIZE)
#include "quantize/quantize_neon.c"
#endif

#define ROWS(kernel, n) RK_TARGET void kernel##_##n(const rk_matmul_tile *tile) { kernel##_rows(tile, 0, 0, n); }
#define MANY_ROWS(kernel, type, n) \
    RK_TARGET void kernel##_many_##n(const rk_matmul_tile *tile, const type *from) { kernel##_many_rows(tile, from, 0, 0, n); }
#define UNPACK(row_pairs) RK_TARGET void int4_unpack(const rk_matmul_tile *tile, unpacked *to) { unpack(to, tile, 0, 0, row_pairs); }

#if defined(KERNELS_NEON)
ROWS(int8, 1) ROWS(int8, 2) ROWS(int16, 1) ROWS(int16, 2) ROWS(int4, 1) ROWS(int4, 2) MANY_ROWS(int4, unpacked, 2) UNPACK(0)
void paired_2(const rk_matmul_tile *tile, const paired *u) { paired_rows(u, tile, 0, 0, 2); }
void float_6(const rk_matmul_tile *tile, const float *w, int column, int columns) { float_rows(tile, w, column, columns, 0, 0, 6); }
#elif defined(KERNELS_DOTPROD)
ROWS(int8, 1) ROWS(int8, 2) ROWS(int8, 4) ROWS(int16, 1) ROWS(int16, 2) ROWS(int4, 1) ROWS(int4, 2) MANY_ROWS(int4, unpacked, 4) UNPACK(0)
#elif defined(KERNELS_I8MM)
MANY_ROWS(int8, zipped, 6) ROWS(int16, 1) ROWS(int16, 4) MANY_ROWS(int4, unpacked, 4) UNPACK(1)
#endif
