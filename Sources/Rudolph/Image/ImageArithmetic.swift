import CKernels

/// How the convolutions of the image tokenizer are summed.
public enum ImageArithmetic: Sendable {
    /// 3 x 3 convolutions by Winograd's transform: a quarter of the products, rounded a little differently.
    case fast
    /// Product by product, in the order of the definition.
    case direct
}

extension rk_conv {
    /// The same convolution by products in order, or by Winograd's transform where that applies.
    func summed(_ arithmetic: ImageArithmetic) -> rk_conv {
        var conv = self
        conv.fast = arithmetic == .fast ? 1 : 0
        return conv
    }
}
