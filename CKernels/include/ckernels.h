// The C kernels of RUDOLPH: everything that Swift sees of them.
//
// Two kinds of function live here. A *kernel* knows one tile or one row, allocates nothing, holds no state and is reached
// through a struct of function pointers, one struct per module; `rk_<module>_kernels_for(features)` returns it, filled with scalar
// ones first, then with those of each instruction set that `features` has, in ascending order. A *step* is what the runtime calls: it
// cuts the work into chunks, gives them to the workers of a parallel region and ends with a barrier.
//
// Every kernel returns the same bits on every instruction set. Sums run in the order that rk_math.h defines, products are
// fused exactly where the definition writes fmaf, and the compiler may not contract (RK_EXACT).
//
// Errors: none of these functions can fail; the caller has validated sizes. Ownership: none of them keeps a pointer,
// but rk_matmul_prefetch, whose worker prefetches those weights until it is told otherwise or its region ends.
#ifndef CKERNELS_H
#define CKERNELS_H

#include "rk_cpu.h"
#include "rk_parallel.h"
#include "rk_math.h"
#include "rk_quantize.h"
#include "rk_matmul.h"
#include "rk_norm.h"
#include "rk_attention.h"
#include "rk_conv.h"
#include "rk_resize.h"
#include "rk_rows.h"

#endif
