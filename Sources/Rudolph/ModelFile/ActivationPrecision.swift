/// How finely the rows that 8-bit weights multiply are quantized, at run time. Other weights know one way only: 4-bit ones take 8 bits, which err
/// less than they do, and floats take floats.
public enum ActivationPrecision: Sendable, CaseIterable {
    /// 8 bits, with a scale for each 256 columns of each token: the least arithmetic, and what a model is run with unless the caller says
    /// otherwise. The MLP's hidden layer, which GELU makes lie to one side of zero, around the middle of the range of each 256 columns.
    case int8
    /// 8 bits, but 16 for the second matrix of each MLP: its input, which comes of GELU, spreads widest and makes most of the error of 8 bits.
    case mixed
    /// 16 bits: nearly twice the arithmetic of 8, the same memory traffic.
    case int16

    package static let standard = ActivationPrecision.int8

    /// The name on command lines and in files.
    public var name: String {
        switch self {
        case .int8: "int8"
        case .mixed: "mixed"
        case .int16: "int16"
        }
    }

    init?(name: String) {
        guard let precision = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = precision
    }

    /// Whether the MLP's hidden layer is quantized to 16 bits, and whether the rows of the hidden size are.
    var isWideInt16: Bool { self != .int8 }
    var isNarrowInt16: Bool { self == .int16 }
}
