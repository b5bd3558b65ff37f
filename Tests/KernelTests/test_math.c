#include <math.h>
#include <string.h>
#include "harness.h"

static void test_f16(void) {
    test_begin("math", "f16", "scalar", "all values there and back");
    int wrong = 0;
    for (uint32_t half = 0; half < 0x10000; half++) {
        int exponent = (int)(half >> 10 & 31), mantissa = (int)(half & 0x3ff);
        double value = exponent == 31 ? (mantissa ? NAN : INFINITY)
                       : exponent     ? ldexp(1024 + mantissa, exponent - 25)
                                      : ldexp(mantissa, -24);
        value = half & 0x8000 ? -value : value;
        float single = rk_f16_to_f32((rk_f16)half);
        int same = isnan(value) ? isnan(single) != 0 : single == value && !signbit(single) == !(half & 0x8000);
        uint32_t back = rk_f16_from_f32(single);
        wrong += !same || back != (isnan(value) ? half | 0x200 : half);
    }
    test_expect(wrong == 0, "%d of 65536 wrong", wrong);

    test_begin("math", "f16", "scalar", "rounding to nearest even");
    wrong = 0;
    for (uint32_t half = 0; half < 0x7bff; half++) { // between each half and the next
        double low = rk_f16_to_f32((rk_f16)half), high = rk_f16_to_f32((rk_f16)(half + 1));
        float middle = (float)((low + high) / 2);
        uint32_t even = half + (half & 1);
        wrong += rk_f16_from_f32(middle) != even;
        wrong += rk_f16_from_f32(nextafterf(middle, 0)) != half;
        wrong += rk_f16_from_f32(-nextafterf(middle, INFINITY)) != (0x8000 | (half + 1));
    }
    test_expect(wrong == 0, "%d wrong", wrong);
    test_expect(rk_f16_from_f32(65519.0f) == 0x7bff && rk_f16_from_f32(65520.0f) == 0x7c00, "largest half or infinity");
    test_expect(rk_f16_from_f32(-3e38f) == 0xfc00 && rk_f16_from_f32(1e-30f) == 0, "infinity or zero");
}

static void test_exp(void) {
    test_begin("math", "exp", "scalar", "all of [-87, 88] in small steps");
    double worst = 0;
    for (int i = -87 * 4096; i <= 88 * 4096; i++) {
        float x = (float)i / 4096 + test_random_float() / 8192;
        double exact = exp((double)x);
        test_worst(&worst, fabs(rk_exp(x) - exact) / exact);
    }
    test_expect(worst < 0x1p-22, "relative error %g", worst);
    test_expect(rk_exp(-1000) == rk_exp(-INFINITY) && rk_exp(-1000) > 0 && rk_exp(-1000) < 1.2e-38, "lower end %g", rk_exp(-1000));
    test_expect(rk_exp(1000) == rk_exp(INFINITY) && rk_exp(1000) > 2e38 && rk_exp(1000) < INFINITY, "upper end %g", rk_exp(1000));
    test_expect(rk_exp(0) == 1 && rk_exp(NAN) == rk_exp(-1000), "exp(0) = %.9g, exp(nan) = %g", rk_exp(0), rk_exp(NAN));
}

void test_math(void) {
    test_f16();
    test_exp();
}
