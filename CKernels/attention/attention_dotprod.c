#include "attention.h"

#if defined(__aarch64__)
#define RK_TARGET RK_TARGET_DOTPROD
#define RK_DOTPROD
#define RK_KEY_LANES 4
#define RK_VALUE_QUERIES 8
#define RK_VALUE_BLOCKS 1
#define RK_FEW_QUERIES 0
#include "attention_lanes.h"

const rk_attention_kernels rk_attention_dotprod = RK_ATTENTION_KERNELS("dotprod");
#endif
