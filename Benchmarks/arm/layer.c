// The products of one layer of RUDOLPH-350M and of the head, int8 with 16-bit x, and the quantizing before them, cut into blocks as
// matmul.c does with one thread: for 64 rows, 258 rows, one row, then one row of the head. count_plugin.c counts between the marks.
//
//     clang --target=aarch64-linux-gnu -O2 -static -DRK_SERIAL -I CKernels/include -I CKernels Benchmarks/arm/layer.c
//         $(find CKernels -name '*.c') -lm -o build/arm/layer
//     qemu-aarch64 -cpu cortex-a76 -plugin build/arm/libcount.so -d plugin -D build/arm/layer.txt build/arm/layer dotprod
//     qemu-aarch64 -cpu cortex-a72 -plugin build/arm/libcount.so -d plugin -D build/arm/layer.txt build/arm/layer neon
#include <stdlib.h>
#include <string.h>
#include "internal.h"

__attribute__((noinline)) void mark(void) { __asm__ volatile(""); }

static void multiply(uint32_t features, int rows, int columns, int count, int block) {
    const size_t bytes = rk_panel_bytes(RK_INT8, columns) * (size_t)(rows / RK_PANEL);
    int8_t *w = calloc(1, bytes);
    int16_t *x16 = calloc((size_t)(count * columns), sizeof *x16);
    float *x = calloc((size_t)columns, sizeof *x), *scales = calloc((size_t)count, sizeof *scales);
    float *out = calloc((size_t)count * (size_t)rows, sizeof *out);
    for (int k = 0; k < columns; k++) x[k] = (float)(k % 37 - 18);
    for (int t = 0; t < count; t++) scales[t] = rk_quantize_kernels_for(features).row16(x16 + t * columns, x, columns, columns);
    for (int first = 0; first < count; first += block) {
        const rk_matmul_tile tile = {.weights = w, .panels = rows / RK_PANEL, .columns = columns, .x16 = x16 + first * columns,
                                     .scales = scales + first, .x_stride = (size_t)columns, .count = rk_min(block, count - first),
                                     .out = out + (size_t)first * (size_t)rows, .out_stride = (size_t)rows};
        rk_matmul_kernels_for(features).int16(&tile);
    }
    free(w), free(x16), free(x), free(scales), free(out);
}

static void layer(uint32_t features, int count, int block, int wide_block) {
    multiply(features, 3072, 1024, count, block);
    multiply(features, 1024, 1024, count, block);
    multiply(features, 4096, 1024, count, block);
    multiply(features, 1024, 4096, count, wide_block);
}

int main(int argc, char **argv) {
    const uint32_t features = RK_CPU_NEON | (argc > 1 && strcmp(argv[1], "dotprod") == 0 ? RK_CPU_DOTPROD : 0);
    mark();
    layer(features, 64, 64, 32);
    mark();
    layer(features, 258, 56, 48);
    mark();
    layer(features, 1, 1, 1);
    mark();
    multiply(features, 16384 + 384, 1024, 1, 1);
    mark();
    return 0;
}
