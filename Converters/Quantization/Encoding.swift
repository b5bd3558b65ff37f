import Rudolph

/// How the rows of a stored tensor become bytes. Each encoding can be read back, so that an error is measured on what was written.
package enum Encoding: Equatable, Sendable {
    /// Plain rows.
    case f32, f16
    /// Rows in blocks of 32 values behind a half scale, as ggml's Q8_0: value = scale * int8.
    case q8_0
    /// Panels of 16 rows, as `rk_matmul.h` lays them out.
    case packed(WeightType)

    /// Rows that are encoded together.
    package var rowsTogether: Int { if case .packed = self { PackedPanel.rows } else { 1 } }

    /// Bytes of `rows` rows of `columns` columns. q8_0 takes columns in multiples of 32 only.
    package func bytes(rows: Int, columns: Int) -> Int {
        switch self {
        case .f32: rows * columns * 4
        case .f16: rows * columns * 2
        case .q8_0: rows * columns / 32 * Q8Block.bytes
        case .packed(let type): paddedToPanel(rows) / PackedPanel.rows * PackedPanel.bytes(type, columns: columns)
        }
    }

    /// Encodes `rows` rows, `columns` floats each, row after row. `out` has room for bytes(rows:columns:). Packed int8 and int4 take
    /// `feedback`.
    func encode(_ values: UnsafePointer<Float>, rows: Int, columns: Int, feedback: ErrorFeedback? = nil, to out: UnsafeMutableRawPointer) {
        switch self {
        case .f32:
            out.copyMemory(from: values, byteCount: rows * columns * 4)
        case .f16:
            let f16 = out.assumingMemoryBound(to: UInt16.self)
            for index in 0..<rows * columns { f16[index] = HalfPrecision.fromFloat(values[index]) }
        case .q8_0:
            for block in 0..<rows * columns / 32 { Q8Block.encode(values + block * 32, to: out + block * Q8Block.bytes) }
        case .packed(let type):
            let size = PackedPanel.bytes(type, columns: columns)
            for (panel, row) in stride(from: 0, to: rows, by: PackedPanel.rows).enumerated() {
                PackedPanel.pack(
                    values + row * columns, rows: min(PackedPanel.rows, rows - row), columns: columns, as: type, feedback: feedback,
                    to: out + panel * size)
            }
        }
    }

    /// The inverse of `encode`: the values that the kernels will compute with.
    package func decode(_ bytes: UnsafeRawPointer, rows: Int, columns: Int, to values: UnsafeMutablePointer<Float>) {
        switch self {
        case .f32:
            UnsafeMutableRawPointer(values).copyMemory(from: bytes, byteCount: rows * columns * 4)
        case .f16:
            HalfPrecision.toFloats(bytes, count: rows * columns, values)
        case .q8_0:
            for block in 0..<rows * columns / 32 { Q8Block.decode(bytes + block * Q8Block.bytes, to: values + block * 32) }
        case .packed(let type):
            let size = PackedPanel.bytes(type, columns: columns)
            for (panel, row) in stride(from: 0, to: rows, by: PackedPanel.rows).enumerated() {
                PackedPanel.unpack(
                    bytes + panel * size, rows: min(PackedPanel.rows, rows - row), columns: columns, as: type, to: values + row * columns)
            }
        }
    }
}

/// ggml's Q8_0 block: a half scale and 32 signed bytes.
enum Q8Block {
    static let bytes = 34

    static func encode(_ values: UnsafePointer<Float>, to out: UnsafeMutableRawPointer) {
        var largest: Float = 0
        for index in 0..<32 { largest = max(largest, abs(values[index])) }
        let half = HalfPrecision.fromFloat(largest / 127)
        let scale = HalfPrecision.toFloat(half)
        out.storeBytes(of: half.littleEndian, as: UInt16.self)
        for index in 0..<32 {
            out.storeBytes(of: Rounding.int8(scale > 0 ? values[index] / scale : 0), toByteOffset: 2 + index, as: Int8.self)
        }
    }

    static func decode(_ block: UnsafeRawPointer, to values: UnsafeMutablePointer<Float>) {
        let scale = HalfPrecision.toFloat(UInt16(littleEndian: block.loadUnaligned(as: UInt16.self)))
        for index in 0..<32 { values[index] = scale * Float(block.load(fromByteOffset: 2 + index, as: Int8.self)) }
    }
}

enum Rounding {
    /// 1.5 * 2^23. A sum with it has no bits for a fraction, so that the addition rounds: to nearest, ties to even.
    private static let magic: Float = 0x1.8p23

    /// To the nearest whole number, for |value| < 2^22.
    @inline(__always)
    static func nearest(_ value: Float) -> Float { (value + magic) - magic }

    /// To the nearest integer, for |value| < 2^22; any other value, not-a-number among them, gives some integer.
    @inline(__always)
    static func integer(_ value: Float) -> Int32 { Int32(bitPattern: (value + magic).bitPattern &- magic.bitPattern) }

    /// To the nearest integer in -127...127.
    @inline(__always)
    static func int8(_ value: Float) -> Int8 {
        Int8(truncatingIfNeeded: integer(value < -127 ? -127 : value > 127 ? 127 : value))
    }
}
