import CKernels

/// How the convolutions of the image tokenizer are summed.
public enum ImageArithmetic: Sendable, CaseIterable {
    /// What takes this processor the least time: as ``winograd``, on most x86-64 processors with products of 16-bit integers. Then about one image
    /// token in a thousand is another, which is nearly as near, and some colours of a decoded picture are one of 255 steps off (see
    /// Docs/QUALITY.md).
    case fast
    /// 3 x 3 convolutions by Winograd's transform in floats: a quarter of the products, rounded a little differently. The same bits on every
    /// processor.
    case winograd
    /// Product by product, in the order of the definition.
    case direct

    /// What a model is run with unless the caller says otherwise. In files whose layers are integers everything is a little off for the sake of speed
    /// (the image tokenizer's own weights are f16 in all files).
    static func standard(for type: WeightType) -> ImageArithmetic {
        switch type {
        case .f32, .f16: .winograd
        case .int8, .int4: .fast
        }
    }

    /// The name on command lines.
    public var name: String {
        switch self {
        case .fast: "fast"
        case .winograd: "winograd"
        case .direct: "direct"
        }
    }

    /// Whether most of its products are those of 16-bit integers on this processor, so that others may see other tokens.
    public var hasIntegerProducts: Bool { algorithm == RK_CONV_INT16 }
}

extension ImageArithmetic {
    /// As the kernels know it. What is fast depends on the processor, not on the instruction sets that `RUDOLPH_CPU` allows, so that these do not
    /// change results.
    var algorithm: rk_conv_algorithm {
        switch self {
        case .fast: rk_conv_fastest(rk_cpu_detected())
        case .winograd: RK_CONV_WINOGRAD
        case .direct: RK_CONV_DIRECT
        }
    }
}

extension rk_conv {
    func summed(_ algorithm: rk_conv_algorithm) -> rk_conv {
        var conv = self
        conv.algorithm = algorithm
        return conv
    }
}
