/// How the elements of a packed matrix are stored; the raw value is the one in the file and in `rk_type`.
public enum WeightType: UInt32, CaseIterable, Sendable {
    case f32 = 0, f16 = 1, int8 = 2, int4 = 3

    /// The name in `rudolph.weight_type`.
    public var name: String { "\(self)" }

    public init?(name: String) {
        guard let type = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = type
    }
}
