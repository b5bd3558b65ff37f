#include "attention.h"

#if defined(__aarch64__)
#define RK_TARGET
#define RK_SOFTMAX rk_norm_neon.softmax
#include "attention_lanes.h"

const rk_attention_kernels rk_attention_neon = RK_ATTENTION_KERNELS("neon");
#endif
