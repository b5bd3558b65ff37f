#include <stdio.h>
#include <string.h>
#include "harness.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

// FNV-1a of the bytes of Image.resize((out, out), Image.BILINEAR) in Pillow 13.0.0, of two RGB squares: noise and edges.
static const struct {
    int in_side, out_side;
    uint32_t noise, edges;
} expected[] = {
    {1, 1, 0xe2666a66, 0x4ab0f7b7},      {1, 64, 0x26838dc5, 0x52965dc5},     {2, 64, 0x781f28a1, 0x62445ea5},
    {3, 64, 0x53d0e195, 0x1129adf1},     {33, 64, 0x26b65b79, 0x43b73c7d},    {63, 64, 0xf19f5edb, 0x71ec2c89},
    {64, 64, 0x1f34f4ac, 0x7f4d1d85},    {65, 64, 0x5840b083, 0x5b5959d5},    {91, 64, 0x3dd32bcc, 0xf5a644b6},
    {127, 64, 0x2f45d010, 0xa23061e0},   {333, 64, 0xba4a1976, 0x06f03e73},   {618, 64, 0x4749589f, 0x8a4aceed},
    {128, 128, 0x3978d80d, 0x555f25c9},  {129, 128, 0x1e9d3948, 0x39c5b631},  {500, 128, 0xd1287079, 0xb0f50feb},
    {1000, 128, 0x19e1c607, 0x4403481b}, {37, 16, 0xff6b09ff, 0x40b75422},    {300, 1, 0xbb19f336, 0x817fbf54},
    {7, 5, 0xc2b0b37d, 0x3acffee7},      {192, 192, 0xb9ac3485, 0x710b9585},  {300, 192, 0x51216501, 0xf167459d},
    {256, 256, 0x17765dbd, 0x164bb31d},  {700, 256, 0x88ecd3ce, 0x9609b991},
};

static uint32_t hash(const uint8_t *bytes, size_t count) {
    uint32_t h = 2166136261;
    for (size_t i = 0; i < count; i++) {
        h = (h ^ bytes[i]) * 16777619;
    }
    return h;
}

// The bytes of a linear congruential generator.
static void fill_noise(uint8_t *pixels, int side, size_t row_bytes, uint32_t seed) {
    for (int y = 0; y < side; y++) {
        for (int i = 0; i < side * 3; i++) {
            seed = seed * 1664525 + 1013904223;
            pixels[(size_t)y * row_bytes + (size_t)i] = (uint8_t)(seed >> 24);
        }
    }
}

// A slope, a chessboard and blocks of black and white: 0 and 255 next to each other.
static void fill_edges(uint8_t *pixels, int side, size_t row_bytes) {
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            uint8_t *pixel = pixels + (size_t)y * row_bytes + (size_t)x * 3;
            pixel[0] = (uint8_t)(side > 1 ? x * 255 / (side - 1) : 0);
            pixel[1] = (x ^ y) & 1 ? 255 : 0;
            pixel[2] = (x / 3 + y / 5) % 2 ? 255 : 0;
        }
    }
}

void test_resize(void) {
    for (size_t i = 0; i < COUNT(expected); i++) {
        const int in_side = expected[i].in_side, out_side = expected[i].out_side;
        for (int gap = 0; gap < 8; gap += 7) { // the square may be a part of a wider picture
            const size_t row_bytes = (size_t)in_side * 3 + (size_t)gap, out_bytes = (size_t)out_side * (size_t)out_side * 3;
            uint8_t *in = test_alloc((size_t)(in_side - 1) * row_bytes + (size_t)in_side * 3, 1);
            uint8_t *out = test_alloc(out_bytes, 1);
            void *scratch = test_alloc(rk_resize_scratch(in_side, out_side), 16);
            test_begin("resize", "rgb", "scalar", "noise, %d to %d, gap %d", in_side, out_side, gap);
            fill_noise(in, in_side, row_bytes, (uint32_t)(in_side * 1000 + out_side));
            rk_resize_rgb(out, out_side, in, row_bytes, in_side, scratch);
            uint32_t found = hash(out, out_bytes);
            test_expect(found == expected[i].noise, "hash 0x%08x, expected 0x%08x", found, expected[i].noise);
            if (in_side == out_side) {
                for (int y = 0; y < in_side; y++) {
                    test_equal_bytes(in + (size_t)y * row_bytes, out + (size_t)y * (size_t)out_side * 3, (size_t)out_side * 3);
                }
            }
            test_begin("resize", "rgb", "scalar", "edges, %d to %d, gap %d", in_side, out_side, gap);
            fill_edges(in, in_side, row_bytes);
            rk_resize_rgb(out, out_side, in, row_bytes, in_side, scratch);
            found = hash(out, out_bytes);
            test_expect(found == expected[i].edges, "hash 0x%08x, expected 0x%08x", found, expected[i].edges);
            test_guards(out);
            test_guards(scratch);
            test_free(in), test_free(out), test_free(scratch);
        }
    }
}

typedef struct resize {
    uint8_t *in, *out;
    void *scratch;
    int in_side, out_side;
} resize;

static void call_resize(void *context) {
    resize *r = context;
    rk_resize_rgb(r->out, r->out_side, r->in, (size_t)r->in_side * 3, r->in_side, r->scratch);
}

void bench_resize(void) {
    const int sides[][2] = {{618, 64}, {480, 128}, {3000, 128}};
    for (size_t i = 0; i < COUNT(sides); i++) {
        const int in_side = sides[i][0], out_side = sides[i][1];
        resize r = {test_alloc((size_t)in_side * (size_t)in_side * 3, 1), test_alloc((size_t)out_side * (size_t)out_side * 3, 1),
                    test_alloc(rk_resize_scratch(in_side, out_side), 16), in_side, out_side};
        fill_noise(r.in, in_side, (size_t)in_side * 3, 1);
        char text[32];
        snprintf(text, sizeof text, "%d to %d", in_side, out_side);
        test_report("resize", "rgb", "scalar", text, 1e-9 * in_side * in_side, "Gpixels", test_time(call_resize, &r), 0);
        test_free(r.in), test_free(r.out), test_free(r.scratch);
    }
}
