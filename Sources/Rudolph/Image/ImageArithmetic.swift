import CKernels

/// How the convolutions of the image tokenizer are summed.
public enum ImageArithmetic: Sendable {
    /// What takes this processor the least time: on x86-64 as ``winograd`` with products of 16-bit integers, elsewhere as ``winograd``.
    case fast
    /// 3 x 3 convolutions by Winograd's transform in floats: a quarter of the products, rounded a little differently. The same bits on every
    /// processor.
    case winograd
    /// Product by product, in the order of the definition.
    case direct
}

extension rk_conv {
    /// The same convolution, summed like this on a processor with these features.
    func summed(_ arithmetic: ImageArithmetic, features: UInt32) -> rk_conv {
        var conv = self
        conv.way =
            switch arithmetic {
            case .fast: rk_conv_fastest(features)
            case .winograd: RK_CONV_WINOGRAD
            case .direct: RK_CONV_DIRECT
            }
        return conv
    }
}
